// The cookies of a response as structures, for frameworks that take no Set-Cookie fields.

/** By attribute: the name of the option that most frameworks have for it, and its value there. */
const OPTIONS = {
  path: ["path", String],
  domain: ["domain", String],
  "max-age": ["maxAge", Number],
  secure: ["secure", () => true],
  httponly: ["httpOnly", () => true],
  samesite: ["sameSite", (value) => value.toLowerCase()],
  partitioned: ["partitioned", () => true],
};

/**
 * The cookie of a Set-Cookie field of this package: `{ name, value, options }`. A cookie that is removed
 * has an empty value and the maximum age 0, which says the same as its Expires.
 */
export function cookieOf(line) {
  const [pair, ...attributes] = line.split("; ");
  const [name, value] = split(pair);
  const options = {};
  for (const attribute of attributes) {
    const [key, text] = split(attribute);
    const [option, read] = OPTIONS[key.toLowerCase()] ?? [];
    if (option) options[option] = read(text);
  }
  return { name, value, options };
}

function split(text) {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
