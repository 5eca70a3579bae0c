// The functions of a wasm file, by their names and bytes
// (https://webassembly.github.io/spec/core/binary/modules.html).

const IMPORTS = 2;
const CODE = 10;
const CUSTOM = 0;
/** The part of the section `name` that is about functions. */
const FUNCTION_NAMES = 1;

/** `[name, bytes]` of each function that the file has the code of. */
export function functions(wasm) {
  let at = 8; // magic number and version
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = wasm[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const text = () => {
    const length = number();
    return wasm.subarray(at, (at += length)).toString("utf8");
  };
  const times = (count, act) => Array.from({ length: count }, act);

  let imported = 0;
  let bytes = [];
  const names = new Map();
  while (at < wasm.length) {
    const section = wasm[at++];
    const end = number() + at;
    if (section === IMPORTS) {
      imported = times(number(), () => {
        text();
        text();
        return importedFunction();
      }).filter(Boolean).length;
    } else if (section === CODE) {
      bytes = times(number(), () => {
        const length = number();
        at += length;
        return length;
      });
    } else if (section === CUSTOM && text() === "name") {
      while (at < end) {
        const about = wasm[at++];
        const next = number() + at;
        if (about === FUNCTION_NAMES) times(number(), () => names.set(number(), text()));
        at = next;
      }
    }
    at = end;
  }
  return bytes.map((length, i) => [names.get(imported + i) ?? "", length]);

  /** Passes over what is imported; true where it is a function. */
  function importedFunction() {
    const kind = wasm[at++];
    const limits = () => {
      const flags = wasm[at++];
      number();
      if (flags & 1) number();
    };
    if (kind === 0) number();
    else if (kind === 1) {
      at += 1;
      limits();
    } else if (kind === 2) limits();
    else at += kind === 3 ? 2 : 1;
    if (kind === 4) number();
    return kind === 0;
  }
}
