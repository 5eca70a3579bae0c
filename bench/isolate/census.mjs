// Looks at the wasm instances of the isolate: their memory, and with `counting` every call that
// crosses between JavaScript and wasm.

const instances = [];
const Real = WebAssembly.Instance;
const counts = { into: {}, outOf: {} };
let counting = false;

/** From now on, instances are made whose calls are counted. To be called before they are made. */
export function countCrossings() {
  counting = true;
}

const counted = (functions, kind) =>
  Object.fromEntries(
    Object.entries(functions).map(([name, value]) => [
      name,
      typeof value !== "function"
        ? value
        : (...args) => {
            counts[kind][name] = (counts[kind][name] ?? 0) + 1;
            return value(...args);
          },
    ]),
  );

WebAssembly.Instance = class {
  constructor(module, imports) {
    if (!counting) {
      const instance = new Real(module, imports);
      instances.push(instance.exports);
      return instance;
    }
    const wrapped = {};
    for (const [from, functions] of Object.entries(imports)) wrapped[from] = counted(functions, "outOf");
    const instance = new Real(module, wrapped);
    instances.push(instance.exports);
    return { exports: counted(instance.exports, "into") };
  }
};

/** JavaScript values that an instance holds on to. */
function held({ __wbindgen_externrefs: table }) {
  let live = 0;
  for (let i = 0; i < (table?.length ?? 0); i += 1) if (table.get(i) != null) live += 1;
  return live;
}

/** Bytes of wasm memory, what is alive in it, and what has crossed since the last time. */
export function census() {
  const { into, outOf } = counts;
  counts.into = {};
  counts.outOf = {};
  return {
    // Of the package: configurations, sessions and what is remembered of a connector.
    objects: instances.reduce((sum, { kept }) => sum + (kept?.() ?? 0), 0),
    held: instances.reduce((sum, exports) => sum + held(exports), 0),
    memory: instances.reduce((sum, { memory }) => sum + memory.buffer.byteLength, 0),
    into,
    outOf,
  };
}
