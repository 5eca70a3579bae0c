// Values: what JSON can carry, written as JSON, and the table that holds them.

import { sessionError } from "./errors.js";

const PLAIN = new Set([Object.prototype, null]);

/** What is wrong with a value, on its way out of the recursion. */
class Problem {
  path = "";
  constructor(what, cause) {
    this.what = what;
    this.cause = cause;
  }
}

/**
 * The JSON text of `value`, which is to stand under `key`: as `JSON.stringify` writes it, but for
 * what that loses in silence, which is the error `invalid_value` with the path to it.
 */
export function toJson(value, key, maxDepth) {
  try {
    const text = write(value, key, maxDepth);
    if (text === undefined) throw new Problem("undefined, which JSON cannot carry");
    return text;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    const path = step(key, true) + problem.path;
    const error = sessionError("invalid_value", `${path} is ${problem.what}`, problem.cause);
    error.path = path;
    throw error;
  }
}

/** The text of a value; undefined for undefined. */
function write(value, key, depth, asked = false) {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "number":
      if (Number.isFinite(value)) return value === 0 && 1 / value < 0 ? "-0" : String(value);
      throw new Problem(`${value}, which JSON cannot carry`);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      return value === null ? "null" : writeObject(value, key, depth, asked);
    case "undefined":
      return undefined;
    case "bigint":
      throw new Problem("a BigInt, which JSON cannot carry: store it as text");
    default:
      throw new Problem(`a ${typeof value}, which JSON cannot carry`);
  }
}

function writeObject(value, key, depth, asked) {
  if (depth === 0) throw new Problem(`nested too deep (SESSION_MAX_DEPTH), or in itself`);
  if (Array.isArray(value)) {
    let text = "[";
    for (let i = 0; i < value.length; i++) {
      const item = member(value, i, depth);
      if (item === undefined) throw at(i, new Problem("undefined, which JSON cannot carry"));
      text += i ? `,${item}` : item;
    }
    return `${text}]`;
  }
  if (!asked && typeof guarded(() => value.toJSON) === "function") {
    if (value instanceof Date && Number.isNaN(value.getTime())) throw new Problem("an invalid Date");
    // Its answer takes the object's place and is not asked again, as JSON.stringify has it.
    const text = write(guarded(() => value.toJSON(String(key))), key, depth, true);
    if (text === undefined) throw new Problem("undefined by its toJSON(), which JSON cannot carry");
    return text;
  }
  const prototype = Object.getPrototypeOf(value);
  if (!PLAIN.has(prototype) && !isPlainElsewhere(prototype)) {
    if (value instanceof String || value instanceof Number || value instanceof Boolean) {
      return write(value.valueOf(), key, depth);
    }
    const name = guarded(() => value.constructor?.name) || "object of a class";
    throw new Problem(`a ${name}, which JSON does not carry whole: store plain data, or give it a toJSON()`);
  }
  let text = "";
  for (const name of guarded(() => Object.keys(value))) {
    const item = member(value, name, depth);
    if (item !== undefined) text += `${text ? "," : ""}${JSON.stringify(name)}:${item}`;
  }
  return `{${text}}`;
}

function member(holder, name, depth) {
  try {
    return write(guarded(() => holder[name]), name, depth - 1);
  } catch (problem) {
    throw problem instanceof Problem ? at(name, problem) : problem;
  }
}

function at(name, problem) {
  problem.path = step(name) + problem.path;
  return problem;
}

/** Runs code of the application's inside a value: a getter, a proxy, a toJSON. */
function guarded(run) {
  try {
    return run();
  } catch (thrown) {
    if (thrown instanceof Problem) throw thrown;
    throw new Problem("not readable: it threw when it was read", thrown);
  }
}

/** The object prototype of another realm. */
const isPlainElsewhere = (prototype) =>
  Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "isPrototypeOf");

function step(name, first = false) {
  if (typeof name === "number") return `[${name}]`;
  if (!/^[A-Za-z_$][\w$]*$/.test(name)) return `[${JSON.stringify(name)}]`;
  return first ? name : `.${name}`;
}

const isObject = (value) => typeof value === "object" && value !== null;

/** What stands under a key. */
class Row {
  constructor(base, text, value) {
    this.base = base; // the text that the core has; undefined where it has none
    this.text = text; // the value's text, undefined where it must be written anew
    this.value = value; // undefined until it is asked for
    this.last = undefined; // its text when it was last compared
    this.isOver = false; // it ends with the session, unless it is set again
  }

  /** The value; parsed when first asked for. */
  read() {
    if (this.value === undefined) {
      this.value = JSON.parse(this.text);
      // What was handed out can change: it is written anew, and compared, before a save.
      if (isObject(this.value)) this.text = undefined;
    }
    return this.value;
  }

  set(value, text) {
    this.value = value;
    this.text = isObject(value) ? undefined : text;
    this.isOver = false;
  }
}

/** What tables share while they are empty. Nothing may ever stand in it: it would be everybody's. */
const refuse = () => {
  throw new TypeError("nothing is put into what all empty tables share");
};
const NO_ROWS = Object.assign(new Map(), { set: refuse });
const NO_KEYS = Object.assign(new Set(), { add: refuse });
const NO_CHANGES = { cleared: false, removed: [], keys: [], texts: [], confirm() {} };

/** Keys in order of insertion, values parsed when asked for, and what has changed. */
export class Table {
  /** Of its own when something is put into it: most requests leave one of a session's tables empty. */
  #rows = NO_ROWS;
  /** Keys that were removed here, of which the core was not told. */
  #removed = NO_KEYS;
  #cleared = false;
  /** The values as a live object, once somebody has asked for it. */
  #view;
  #limits;

  constructor(limits) {
    this.#limits = limits;
  }

  get size() {
    this.#look();
    return this.#rows.size;
  }

  has(key) {
    if (this.#view) return this.#view[key] !== undefined;
    return this.#rows.has(key);
  }

  get(key) {
    if (this.#view) return this.#view[key];
    return this.#rows.get(key)?.read();
  }

  set(key, value) {
    const text = this.write(key, value);
    this.put(key, value, text);
  }

  /** The text of `value` under `key`, checked. */
  write(key, value) {
    checkKey(key, this.#limits);
    return toJson(value, key, this.#limits.maxDepth);
  }

  put(key, value, text) {
    this.#look();
    const row = this.#rows.get(key);
    if (row) row.set(value, text);
    else this.#insert(key, new Row(undefined, isObject(value) ? undefined : text, value));
    if (this.#view) this.#view[key] = value;
  }

  delete(key) {
    this.#look();
    const row = this.#rows.get(key);
    if (!row) return false;
    this.#drop(key);
    if (this.#view) delete this.#view[key];
    return true;
  }

  clear() {
    this.#look();
    if (this.#rows.size === 0) return;
    this.#cleared = true;
    this.#removed.clear();
    this.#rows.clear();
    if (this.#view) for (const key of Object.keys(this.#view)) delete this.#view[key];
  }

  last() {
    this.#look();
    let last;
    for (const key of this.#rows.keys()) last = key;
    return last;
  }

  keys() {
    this.#look();
    return [...this.#rows.keys()];
  }

  /** All values as one object without a prototype. */
  view() {
    if (this.#view) return this.#view;
    const view = Object.create(null);
    for (const [key, row] of this.#rows) view[key] = row.read();
    return (this.#view = view);
  }

  /** True where values were handed out that can change without our knowing. */
  get isShared() {
    if (this.#view) return true;
    for (const row of this.#rows.values()) if (isObject(row.value)) return true;
    return false;
  }

  /** True for a table that holds nothing and has lost nothing. */
  get isUntouched() {
    return !this.#view && !this.#cleared && this.#rows.size === 0 && this.#removed.size === 0;
  }

  /** True where a value has changed since the changes were last asked for. */
  get hasDrifted() {
    const keys = [...this.#rows.keys()].join("\n");
    this.#look();
    if (keys !== [...this.#rows.keys()].join("\n")) return true;
    for (const [key, row] of this.#rows) {
      if (row.last !== undefined && !this.#says(key, row, row.last)) return true;
    }
    return false;
  }

  #says(key, row, text) {
    try {
      return (row.text ?? this.write(key, row.value)) === text;
    } catch {
      return false;
    }
  }

  /** Notices what was done to the view. */
  #look() {
    const view = this.#view;
    if (!view) return;
    for (const [key, row] of this.#rows) {
      const value = view[key];
      if (value === undefined) this.#drop(key);
      else if (!Object.is(value, row.value)) row.set(value, undefined);
    }
    for (const key of Object.keys(view)) {
      if (view[key] !== undefined && !this.#rows.has(key)) {
        this.#insert(key, new Row(undefined, undefined, view[key]));
      }
    }
  }

  #drop(key) {
    this.#remove(key);
    this.#rows.delete(key);
  }

  #insert(key, row) {
    if (this.#rows === NO_ROWS) this.#rows = new Map();
    this.#rows.set(key, row);
  }

  #remove(key) {
    if (this.#removed === NO_KEYS) this.#removed = new Set();
    this.#removed.add(key);
  }

  /**
   * The text of a row that the core has otherwise, else undefined. Whether two texts mean the same
   * is the core's to say, but for what JavaScript cannot tell apart: it would write the core's text
   * like this, where that is 1.0.
   */
  #changed(key, row) {
    if (row.value === undefined || row.isOver) return undefined;
    const text = row.text ?? this.write(key, row.value);
    row.last = text;
    if (text === row.base) return undefined;
    if (row.base !== undefined && text === this.write(key, JSON.parse(row.base))) return undefined;
    return text;
  }

  /**
   * What has changed since the core was told last: whether all was cleared, the keys that were
   * removed, and the keys that were set with their texts; and what to call when it is told. `only`
   * names the keys to tell, by default all.
   */
  changes(only) {
    if (this.isUntouched) return NO_CHANGES;
    this.#look();
    const [keys, texts, rows] = [[], [], []];
    for (const [key, row] of this.#rows) {
      if (only && !only.has(key)) continue;
      const text = this.#changed(key, row);
      if (text === undefined) continue;
      keys.push(key);
      texts.push(text);
      rows.push(row);
    }
    const confirm = () => {
      this.#cleared = false;
      this.#removed.clear();
      rows.forEach((row, i) => (row.base = texts[i]));
    };
    return { cleared: this.#cleared, removed: [...this.#removed], keys, texts, confirm };
  }

  /** All of it ends with the session; what is set from now on belongs to the next. */
  abandon() {
    this.#look();
    for (const row of this.#rows.values()) row.isOver = true;
    this.#removed.clear();
    this.#cleared = false;
  }

  /** Takes over the core's keys and texts; what has changed here since it was told stays. */
  reset(keys, texts) {
    this.#look();
    const old = this.#rows;
    const view = this.#view;
    this.#rows = new Map();
    keys.forEach((key, i) => {
      const text = texts[i];
      const row = old.get(key);
      old.delete(key);
      if (row && !row.isOver && (row.base === text || this.#isLocal(key, row))) {
        row.base = text;
        this.#rows.set(key, row);
      } else if (!row && (this.#removed.has(key) || this.#cleared)) {
        this.#remove(key);
      } else {
        const fresh = new Row(text, text, undefined);
        this.#rows.set(key, fresh);
        if (view) view[key] = fresh.read();
      }
    });
    for (const [key, row] of old) {
      if (this.#isLocal(key, row)) {
        row.base = undefined;
        this.#rows.set(key, row);
      } else if (view) {
        delete view[key];
      }
    }
  }

  #isLocal(key, row) {
    try {
      return this.#changed(key, row) !== undefined;
    } catch {
      return true;
    }
  }
}

function checkKey(key, { maxKeyBytes }) {
  if (typeof key !== "string") {
    throw sessionError("invalid_value", `a key is text, not ${key === null ? "null" : typeof key}`);
  }
  if (!key.isWellFormed()) {
    throw sessionError("invalid_value", "a key is well-formed text; this one has half of a surrogate pair");
  }
  if (key.length * 3 > maxKeyBytes) {
    const bytes = new TextEncoder().encode(key).length;
    if (bytes > maxKeyBytes) {
      throw sessionError(
        "too_large",
        `the key is ${bytes} bytes long; SESSION_MAX_KEY_BYTES allows ${maxKeyBytes}`,
      );
    }
  }
}
