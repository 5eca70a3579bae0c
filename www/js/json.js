// JSON as a person writes it and as the API keeps it.

/**
 * Parses JSON; a number that JavaScript would round keeps its written form, so
 * that showing a value and saving it again does not change it.
 */
export function parseJson(text) {
  return JSON.parse(text, (_key, value, context) => {
    const rounded = typeof value === "number" && context && context.source !== String(value);
    return rounded && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
  });
}

/** What keeps `text` from being JSON, as a sentence, or null. */
export function jsonFault(text) {
  if (text.trim() === "") return "A value is missing. For empty text, write \"\".";
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    const words = /^[^"'[\]{},:]+$/.test(text.trim());
    const advice = words ? ` For text, write ${JSON.stringify(text.trim())}.` : "";
    return `Not JSON: ${reason(error)}.${advice}`;
  }
}

// Engines end their messages with the whole text or repeat that this is JSON.
function reason(error) {
  return error.message
    .replace(/^JSON\.parse: |^JSON Parse error: /, "")
    .replace(/, (\.\.\.)?".*"(\.\.\.)? is not valid JSON$/s, "")
    .replace(/ in JSON at position/, " at position")
    .replace(/\.$/, "");
}

/** The value on one line where it is short, indented where it is not. */
export function formatJson(value) {
  const line = JSON.stringify(value);
  return line.length <= 60 ? line : JSON.stringify(value, null, 2);
}

/** What kind of value this is, in a few words. */
export function describeJson(value) {
  const size = bytes(JSON.stringify(value));
  if (value === null) return "null";
  if (Array.isArray(value)) return `array, ${count(value.length, "item")}, ${size}`;
  if (JSON.isRawJSON?.(value)) return "number, kept as written";
  if (typeof value === "object") return `object, ${count(Object.keys(value).length, "key")}, ${size}`;
  if (typeof value === "string") return `text, ${size}`;
  return typeof value;
}

/** The size of a text as it travels. */
export const bytes = (text) => count(new TextEncoder().encode(text).length, "byte");

/** "1 key", "2 keys". */
export const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
