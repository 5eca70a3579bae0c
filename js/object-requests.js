// The requests to the Durable Object of `js/durable-object.js`, and how they are checked.

const REQUEST_BYTES = 1 << 20;
const KEY_BYTES = 512;
/** The most keys of a read, checks of a transaction, and writes of a transaction. */
const ITEMS = 200;
/** The most exceptions: a statement accepts 100 parameters, and each exception needs two. */
const EXCEPTIONS = 40;
/** In the year 2255: the runtime counts nanoseconds in 64 bits. */
const LATEST = 9_000_000_000_000;

/** A refused request. Nothing was written. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

function bad(message) {
  throw new Refusal(400, "bad_request", message);
}

/** The operation of a request, and its checked body. */
export async function parse(request) {
  const { pathname } = new URL(request.url);
  const operation = pathname.slice("/v1/".length);
  if (request.method !== "POST" || !pathname.startsWith("/v1/") || !Object.hasOwn(BODIES, operation)) {
    bad(`unknown request ${request.method} ${pathname}: this object supports POST /v1/read, /v1/transact and /v1/list`);
  }
  const bytes = await request.arrayBuffer();
  if (bytes.byteLength > REQUEST_BYTES) {
    throw new Refusal(413, "too_large", `the request has ${bytes.byteLength} bytes, at most ${REQUEST_BYTES} are allowed`);
  }
  let body;
  try {
    body = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    bad("the body is not JSON in UTF-8");
  }
  BODIES[operation](body, "the body");
  return { operation, body };
}

// The checks of a body: each function throws for a value of another kind. Unknown members are refused
// too, because the sender relies on their meaning.

const text = (value, where) => (typeof value === "string" && value.isWellFormed()) || bad(`${where} must be a string`);
const prefix = (value, where) => {
  text(value, where);
  if (!/^[ -~]*$/.test(value) || value.length > KEY_BYTES) bad(`${where} must be at most ${KEY_BYTES} printable ASCII characters`);
};
const key = (value, where) => {
  prefix(value, where);
  if (!value) bad(`${where} must not be empty`);
};
const instant = (value, where) =>
  (Number.isInteger(value) && value >= 0 && value <= LATEST) || bad(`${where} must be a time in milliseconds`);
const flag = (value, where) => typeof value === "boolean" || bad(`${where} must be true or false`);
const optional = (kind) => (value, where) => value === undefined || kind(value, where);
const list = (kind, most = ITEMS) => (value, where) => {
  if (!Array.isArray(value) || value.length > most) bad(`${where} must be an array of at most ${most}`);
  value.forEach((one, i) => kind(one, `${where}[${i}]`));
};
const pair = (value, where) => {
  if (!Array.isArray(value) || value.length !== 2) bad(`${where} must be a key and a revision`);
  key(value[0], `${where}[0]`);
  text(value[1], `${where}[1]`);
};
const members = (value, known, where) => {
  if (value === null || typeof value !== "object" || Array.isArray(value)) bad(`${where} must be an object`);
  const names = Object.keys(value);
  for (const name of names) if (!Object.hasOwn(known, name)) bad(`${where} has an unknown member ${JSON.stringify(name)}`);
  return names;
};
const object = (kinds) => (value, where) => {
  members(value, kinds, where);
  for (const [name, kind] of Object.entries(kinds)) kind(value[name], `${where}.${name}`);
};
const either = (kinds) => (value, where) => {
  const [name, ...others] = members(value, kinds, where);
  if (!name || others.length) bad(`${where} must have one member, ${Object.keys(kinds).join(" or ")}`);
  kinds[name](value[name], `${where}.${name}`);
};

const put = object({ key, value: text, metadata: optional(text), revision: text, expiresAt: instant, dead: optional(flag) });
const replace = object({ prefix, except: list(prefix, EXCEPTIONS), value: text, revision: text, dead: optional(flag) });
const BODIES = {
  read: object({ keys: list(key) }),
  transact: object({ checks: list(either({ absent: key, revision: pair })), writes: list(either({ put, replace })) }),
  list: object({ prefix, cursor: optional(key) }),
};
