// Values: JSON values as text, and the table that stores them.

import { sessionError } from "./errors.js";

/** A problem with a value, thrown out of the recursion. */
class Problem {
  path = "";
  constructor(what, cause) {
    this.what = what;
    this.cause = cause;
  }
}

/**
 * The JSON text of `value`, the value of `key`, as written by `JSON.stringify`. Values that this would
 * silently lose or change fail with `invalid_value` and their path.
 */
export function toJson(value, key, limits) {
  return located(
    key,
    () => {
      const text = write(value, key, limits.maxDepth);
      if (text === undefined) throw new Problem("undefined, which JSON cannot represent");
      return text;
    },
    limits,
  );
}

/**
 * The keys and values of an object, or of pairs as a Map has them. What would be lost fails with
 * `invalid_value`.
 */
export function entriesOf(values, mayBePairs = false) {
  const advice = `pass a plain object of keys and values${mayBePairs ? ", or pairs of a key and a value" : ""}`;
  if (!isObject(values)) throw sessionError("invalid_value", advice);
  if (mayBePairs && typeof values[Symbol.iterator] === "function") {
    return Array.from(values, (pair) => {
      if (isObject(pair)) return [pair[0], pair[1]];
      throw sessionError("invalid_value", `${advice}; this has ${pair === null ? "null" : `a ${typeof pair}`} instead of a pair`);
    });
  }
  // A Map, for example, has no members, so that all of it would be lost.
  if (Array.isArray(values) || !isPlainPrototype(Object.getPrototypeOf(values))) {
    throw sessionError("invalid_value", `${advice}, not ${nameOf(values)}`);
  }
  return located(undefined, () => namesOf(values).map((name) => [name, member(values, name, (value) => value)]));
}

/** The result of `run`. A problem becomes an error with its path, which starts at `key`. */
function located(key, run, limits) {
  try {
    return run();
  } catch (thrown) {
    const problem = problemOf(thrown);
    const path = key === undefined ? problem.path.replace(/^\./, "") : step(key, true) + problem.path;
    const what =
      problem.what === TOO_DEEP ? `${TOO_DEEP} (${limits.nameOf("SESSION_MAX_DEPTH", "maxDepth")}), or contains itself` : problem.what;
    const error = sessionError("invalid_value", `${path} is ${what}`, problem.cause);
    error.path = path;
    throw error;
  }
}

const TOO_DEEP = "nested too deeply";

/** The text of a value; undefined for undefined. */
function write(value, key, depth, asked = false) {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "number":
      if (Number.isFinite(value)) return value === 0 && 1 / value < 0 ? "-0" : String(value);
      throw new Problem(`${value}, which JSON cannot represent`);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      return value === null ? "null" : writeObject(value, key, depth, asked);
    case "undefined":
      return undefined;
    case "bigint":
      throw new Problem("a BigInt, which JSON cannot represent: store it as a string");
    default:
      throw new Problem(`a ${typeof value}, which JSON cannot represent`);
  }
}

function writeObject(value, key, depth, asked) {
  if (depth === 0) throw new Problem(TOO_DEEP);
  const prototype = Object.getPrototypeOf(value);
  const isArray = Array.isArray(value);
  const isPlain = isArray ? Array.isArray(prototype) : isPlainPrototype(prototype);
  // In Node.js these have a toJSON too, and would come back as another type.
  if (!isPlain && isDate(value)) {
    throw new Problem(
      "a Date, which would come back as a string: store date.toISOString() or date.getTime(), and create a Date from it when you read it",
    );
  }
  if (!isPlain && ArrayBuffer.isView(value)) {
    throw new Problem(`${nameOf(value)}, which JSON cannot represent: store its bytes as a string, in base64 for example`);
  }
  if (!asked && typeof value.toJSON === "function") {
    // Like JSON.stringify, use the result without calling its own toJSON.
    const text = write(value.toJSON(String(key)), key, depth, true);
    if (text === undefined) throw new Problem("turned into undefined by its toJSON(), which JSON cannot represent");
    return text;
  }
  if (!isPlain) {
    if (isBoxed(value)) return write(value.valueOf(), key, depth);
    throw new Problem(`${nameOf(value)}, which JSON cannot fully represent: store plain data, or add a toJSON()`);
  }
  if (isArray) return writeArray(value, depth);
  let text = "";
  for (const name of namesOf(value)) {
    const item = member(value, name, write, depth - 1);
    if (item !== undefined) text += `${text ? "," : ""}${JSON.stringify(name)}:${item}`;
  }
  return `{${text}}`;
}

function writeArray(array, depth) {
  const { length } = array;
  let text = "[";
  for (let i = 0; i < length; i++) {
    const item = member(array, i, write, depth - 1);
    if (item === undefined) throw at(i, new Problem("undefined, which JSON cannot represent"));
    text += i ? `,${item}` : item;
  }
  // More names than the indices and `length` mean that there is a named property.
  const names = Reflect.ownKeys(array);
  if (names.length > length + 1) {
    const name = names.slice(length).find((name) => name !== "length");
    throw at(name, new Problem("a named property of an array, which JSON leaves out: store only the elements, as [...array]"));
  }
  return `${text}]`;
}

/** The names of an object's members. Throws if JSON would leave one out. */
function namesOf(object) {
  const names = Object.keys(object);
  const symbols = Object.getOwnPropertySymbols(object);
  // Comparing two counts is faster than building one list.
  if (symbols.length === 0 && Object.getOwnPropertyNames(object).length === names.length) return names;
  const lost = Reflect.ownKeys(object).find((name) => !names.includes(name));
  const what =
    typeof lost === "symbol"
      ? "a property with a symbol as its name, which JSON leaves out: use a string as its name"
      : "a property that is not enumerable, which JSON leaves out: make it enumerable";
  throw at(lost, new Problem(what));
}

/** The result of `look` for a member: its value, its name and further arguments. */
function member(holder, name, look, depth) {
  try {
    return look(holder[name], name, depth);
  } catch (thrown) {
    throw at(name, problemOf(thrown));
  }
}

function at(name, problem) {
  problem.path = step(name) + problem.path;
  return problem;
}

/** An exception of the application's own code: a getter, a proxy, a toJSON. */
const problemOf = (thrown) =>
  thrown instanceof Problem ? thrown : new Problem("not readable: reading it threw an error", thrown);

/** True for the prototype of plain objects, of this realm or another. */
const isPlainPrototype = (prototype) =>
  prototype === Object.prototype ||
  prototype === null ||
  (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "isPrototypeOf"));

const isDate = (value) => value instanceof Date || Object.prototype.toString.call(value) === "[object Date]";

/** True for a string, number or boolean object without further properties. */
function isBoxed(value) {
  if (value instanceof String) return Reflect.ownKeys(value).length === value.length + 1;
  return (value instanceof Number || value instanceof Boolean) && Reflect.ownKeys(value).length === 0;
}

/** The class of a value, with its article. */
function nameOf(value) {
  const name = value.constructor?.name || "class instance";
  return `${/^[AEIO]/.test(name) ? "an" : "a"} ${name}`;
}

function step(name, first = false) {
  if (typeof name === "number") return `[${name}]`;
  if (typeof name === "symbol") return `[${String(name)}]`;
  if (!/^[A-Za-z_$][\w$]*$/.test(name)) return `[${JSON.stringify(name)}]`;
  return first ? name : `.${name}`;
}

const isObject = (value) => typeof value === "object" && value !== null;

// --- objects shared between sessions -------------------------------------------------------------

/** By object: the number of the table whose data it was part of. */
const owners = new WeakMap();
let tables = 0;
let wasWarned = false;

/**
 * Warns once that an object is part of the data of several sessions: changes by one visitor would be
 * visible to the next. `set` and similar methods store a copy; an assignment in `data` does not. A
 * deeply frozen object is harmless.
 */
function warnOfSharing(value, table, key) {
  const path = claim(value, table, step(key, true));
  if (path === undefined) return;
  wasWarned = true;
  console.warn(
    `edge-session: ${path} in a session's data is an object that was already in another session's data: a change ` +
      `made for one visitor shows up for another. Give each session its own object: session.setDefault(key, value) ` +
      "and session.set(key, value) store a copy, session.data.key ??= structuredClone(value) assigns one",
  );
}

/** True for an object that is stored as what its `toJSON()` returns, and may lead to anything itself. */
const hasOwnForm = (value) => typeof value.toJSON === "function";

/** Marks the objects in `value` as data of `table`. Returns the path to one that was in another table. */
function claim(value, table, path) {
  if (!isObject(value) || hasOwnForm(value)) return undefined;
  const owner = owners.get(value);
  if (owner === undefined) owners.set(value, table);
  else if (owner !== table) return isFrozen(value) ? undefined : path;
  for (const name of Object.keys(value)) {
    const found = claim(value[name], table, path + step(Array.isArray(value) ? Number(name) : name));
    if (found !== undefined) return found;
  }
  return undefined;
}

const isFrozen = (value) => !isObject(value) || hasOwnForm(value) || (Object.isFrozen(value) && Object.values(value).every(isFrozen));

// --- the table -----------------------------------------------------------------------------------

/** The entry of a key. */
class Row {
  /** The text that the core has, or will have after the waiting steps; undefined if none. */
  base;
  /** The last text from the core. */
  stored;
  /** The value's text; undefined if the value was returned and must be written again. */
  text;
  /** The value; undefined until it is read, except for immutable values. */
  value;
  /** Its text at the last comparison. */
  last;
  /** The steps at which it was added and last set; -1 if it came from the core. */
  cameAt = -1;
  setAt = -1;
  /** The step that passes it to the core. */
  toldAt = 0;
  /** True if it was set, not only changed inside, since it was last passed to the core. */
  isSet = false;
  /** True if steps were running at that time, so that the core's future text is unknown. */
  isBlind = false;
  /** True if a step's answer has shown that the session has no such value any more. */
  isOver = false;

  static told(text) {
    const row = new Row();
    row.base = row.stored = row.text = text;
    return row;
  }

  /** The value, parsed at the first read. */
  read() {
    if (this.value === undefined) {
      this.value = JSON.parse(this.text);
      // A returned object can change, so it is written again and compared before a save.
      if (isObject(this.value)) this.text = undefined;
    }
    return this.value;
  }

  set(value, text, { step, steps }) {
    this.value = value;
    this.text = text;
    this.setAt = step;
    this.isSet = true;
    this.isBlind ||= steps > 0;
  }
}

/** Shared by all empty tables. It must stay empty, because an entry would be in every table. */
const refuse = () => {
  throw new TypeError("the map shared by all empty tables must stay empty");
};
const NO_ROWS = Object.assign(new Map(), { set: refuse });
const NO_KEYS = Object.assign(new Map(), { set: refuse });

/**
 * Keys in order of insertion, values that are parsed when read, and the changes.
 *
 * Several steps of the session may be running or waiting. Each passes the changes made before it. The
 * result of a step (`reset`) must replace those changes but no later ones. So every change has the
 * number of its step, from the session's `order`.
 */
export class Table {
  /** Created with the first entry: in most requests one of the two tables stays empty. */
  #rows = NO_ROWS;
  /** Removed keys, each with the step, and whether the core knows. */
  #removed = NO_KEYS;
  /** The same, if everything was cleared. */
  #cleared;
  /** Rows that are gone, but may have changes that wait for a step. */
  #dropped;
  /** The step at which the session ended. */
  #leftAt = -1;
  /** The values as a live object, after the first use of `data`. */
  #view;
  #limits;
  #order;
  #number = (tables += 1);

  constructor(limits, order) {
    this.#limits = limits;
    this.#order = order;
  }

  get size() {
    this.#look();
    return this.#rows.size;
  }

  has(key) {
    if (this.#view) return this.get(key) !== undefined;
    return this.#rows.has(key);
  }

  get(key) {
    // Only strings are keys. An object would take 5 for "5".
    if (this.#view) return typeof key === "string" ? this.#view[key] : undefined;
    return this.#rows.get(key)?.read();
  }

  /** The text of `value` for `key`, checked against the limits. */
  write(key, value) {
    checkKey(key, this.#limits);
    return toJson(value, key, this.#limits);
  }

  /** Stores a copy of `value`, given by its `text`. The table's own object is not copied. */
  put(key, value, text) {
    this.#look();
    let row = this.#rows.get(key);
    if (!row) this.#insert(key, (row = new Row()));
    if (!isObject(value)) row.set(value, text, this.#order);
    else if (value === row.value) row.set(value, undefined, this.#order);
    else row.set(undefined, text, this.#order);
    if (this.#view) this.#view[key] = row.read();
  }

  delete(key) {
    this.#look();
    if (!this.#rows.has(key)) return false;
    this.#drop(key);
    if (this.#view) delete this.#view[key];
    return true;
  }

  clear() {
    this.#look();
    if (this.#rows.size === 0) return;
    this.#cleared = { at: this.#order.step, isTold: false };
    this.#removed = NO_KEYS;
    this.#empty();
  }

  /** Drops all keys except those in `kept`. The core does the same in the step that is being called. */
  leave(kept) {
    this.#look();
    this.#leftAt = this.#order.step;
    this.#empty(kept);
  }

  #empty(kept) {
    for (const [key, row] of this.#rows) {
      if (kept?.has(key)) continue;
      this.#forget(key, row);
      if (this.#view) delete this.#view[key];
    }
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

  /** True if returned objects could be changed without a call. */
  get isShared() {
    if (this.#view) return true;
    for (const row of this.#rows.values()) if (isObject(row.value)) return true;
    return false;
  }

  /** True for a table without entries and without removals. */
  get isUntouched() {
    return !this.#view && !this.#cleared && this.#rows.size === 0 && this.#removed.size === 0;
  }

  /** True if a value has changed since the changes were last collected. */
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
      return this.#textOf(key, row) === text;
    } catch {
      return false;
    }
  }

  /** Detects changes of the view. */
  #look() {
    const view = this.#view;
    if (!view) return;
    for (const [key, row] of this.#rows) {
      const value = view[key];
      if (value === undefined) this.#drop(key);
      else if (!Object.is(value, row.value)) row.set(value, undefined, this.#order);
    }
    const names = Object.keys(view).filter((name) => view[name] !== undefined);
    for (const key of names) if (!this.#rows.has(key)) this.#assigned(key, view[key]);
    this.#followOrder(names.filter((name) => !isIndex(name)));
  }

  #assigned(key, value) {
    const row = new Row();
    row.set(value, undefined, this.#order);
    this.#insert(key, row);
  }

  /** Moves keys that were deleted and set again in the view to the end. */
  #followOrder(names) {
    const places = new Map();
    for (const key of this.#rows.keys()) if (!isIndex(key)) places.set(key, places.size);
    if (names.every((name, i) => places.get(name) === i)) return;
    let last = -1;
    let isBehind = false;
    for (const name of names) {
      const place = places.get(name);
      isBehind ||= place < last;
      last = place;
      if (!isBehind) continue;
      const { value } = this.#rows.get(name);
      this.#drop(name);
      this.#assigned(name, value);
    }
  }

  /** While steps are running, a change inside its value may still wait to be passed to the core. */
  #forget(key, row) {
    this.#rows.delete(key);
    if (this.#order.steps > 0) (this.#dropped ??= []).push(row);
  }

  #drop(key) {
    if (this.#removed === NO_KEYS) this.#removed = new Map();
    this.#removed.set(key, { at: this.#order.step, isTold: false });
    this.#forget(key, this.#rows.get(key));
  }

  #insert(key, row) {
    if (this.#rows === NO_ROWS) this.#rows = new Map();
    row.cameAt = this.#order.step;
    this.#rows.set(key, row);
  }

  /**
   * The text of a row if it differs from the core's, else undefined. The core decides whether two texts
   * are equal. Only differences that JavaScript cannot express, such as 1 and 1.0, are ignored here.
   */
  #changed(key, row) {
    if (row.value === undefined && row.text === row.base && !row.isBlind) return undefined;
    const text = this.#textOf(key, row);
    row.last = text;
    if (!row.isBlind) {
      if (text === row.base || (row.base !== undefined && text === this.#rewritten(key, row.base))) return undefined;
    }
    return row.stored !== undefined && text === this.#rewritten(key, row.stored) ? row.stored : text;
  }

  /** A value stays as it was stored if it was only read, and the limits do not allow it any more. */
  #textOf(key, row) {
    if (row.text !== undefined) return row.text;
    try {
      return this.write(key, row.value);
    } catch (error) {
      if (!row.isSet && row.base !== undefined && this.#rewritten(key, row.base) === undefined && isUnchanged(row.value, row.base)) {
        return row.base;
      }
      throw error;
    }
  }

  /** `text` as this package writes it; undefined if the limits do not allow it. */
  #rewritten(key, text) {
    try {
      return this.write(key, JSON.parse(text));
    } catch {
      return undefined;
    }
  }

  /**
   * The changes since the last confirmed call: whether everything was cleared, the removed keys, and
   * the rows that were set, with their texts. Undefined if there are none. With `only`, just these
   * keys are checked.
   */
  changes(only) {
    if (this.isUntouched) return undefined;
    this.#look();
    if (this.#view) located(undefined, () => namesOf(this.#view));
    const [sets, removed] = [[], []];
    for (const [key, row] of this.#rows) {
      if (only && !only.has(key)) continue;
      const text = this.#changed(key, row);
      if (text !== undefined) sets.push({ key, text, row, isSet: row.isSet });
      this.#lookForSharing(key, row, text !== undefined);
    }
    for (const [key, { isTold }] of this.#removed) if (!isTold) removed.push(key);
    const isCleared = this.#cleared?.isTold === false;
    return isCleared || removed.length > 0 || sets.length > 0 ? { isCleared, removed, sets } : undefined;
  }

  /** Records that the step `step` passes the changes to the core. */
  confirm({ sets }, step) {
    if (this.#cleared) this.#cleared.isTold = true;
    for (const removal of this.#removed.values()) removal.isTold = true;
    for (const { row, text } of sets) {
      row.base = text;
      row.toldAt = step;
      row.isSet = row.isBlind = false;
    }
  }

  /** Checks whether a returned object is part of several sessions. */
  #lookForSharing(key, row, isChanged) {
    if (wasWarned || this.#limits.disableWarnings || !isObject(row.value)) return;
    const owner = owners.get(row.value);
    if (owner === undefined && !isChanged) owners.set(row.value, this.#number);
    else if (owner !== this.#number || isChanged) warnOfSharing(row.value, this.#number, key);
  }

  /**
   * Applies the core's keys and texts after the step `step`. Later changes, and changes inside values,
   * are kept. With `isAnother` they may belong to another session: the values of the previous one are
   * then dropped.
   */
  reset(keys, texts, step, isAnother) {
    this.#look();
    const old = this.#rows;
    this.#rows = new Map();
    const isLater = (row) => row.setAt >= step;
    if (isAnother) this.#dropped?.forEach((row) => (row.isOver ||= !isLater(row)));
    const isCleared = this.#cleared?.at >= step;
    keys.forEach((key, i) => {
      if (isCleared || this.#removed.get(key)?.at >= step) return;
      let row = old.get(key);
      if (this.#leftAt > step && !(row?.cameAt < this.#leftAt)) return;
      old.delete(key);
      if (!row) row = Row.told(texts[i]);
      else if (!isLater(row) && row.toldAt <= step) row = this.#updated(key, row, texts[i]);
      row.stored = texts[i];
      this.#rows.set(key, row);
    });
    for (const [key, row] of old) {
      const isWaiting = row.toldAt > step;
      if (isLater(row) || (!isAnother && (isWaiting || this.#isLocal(key, row)))) {
        if (!isWaiting) row.base = undefined;
        row.stored = undefined;
        this.#rows.set(key, row);
      } else {
        row.isOver = true;
      }
    }
    for (const [key, { at }] of this.#removed) if (at < step) this.#removed.delete(key);
    if (!isCleared) this.#cleared = undefined;
    if (this.#view) {
      for (const name of Object.keys(this.#view)) delete this.#view[name];
      for (const [key, row] of this.#rows) this.#view[key] = row.read();
    }
  }

  /** `row` if the core's `text` is equal, or if its value has changed inside; else a new row. */
  #updated(key, row, text) {
    if (row.base !== text && !this.#isLocal(key, row) && !(isObject(row.value) && isSame(row.base, text))) {
      row.isOver = true;
      return Row.told(text);
    }
    row.base = text;
    return row;
  }

  #isLocal(key, row) {
    try {
      return this.#changed(key, row) !== undefined;
    } catch {
      return true;
    }
  }
}

function isUnchanged(value, text) {
  try {
    return JSON.stringify(value) === JSON.stringify(JSON.parse(text));
  } catch {
    return false; // it cannot be JSON
  }
}

/** True if two JSON texts are equal, whatever the order of their members. */
const isSame = (one, other) => one !== undefined && sorted(one) === sorted(other);

const sorted = (text) =>
  JSON.stringify(JSON.parse(text), (_, value) =>
    isObject(value) && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );

/** True for an integer-like key, which comes before all others in an object. */
const isIndex = (key) => /^(0|[1-9]\d{0,9})$/.test(key) && Number(key) < 2 ** 32 - 1;

function checkKey(key, limits) {
  const { maxKeyBytes } = limits;
  if (typeof key !== "string") {
    throw sessionError("invalid_value", `a key must be a string, not ${key === null ? "null" : typeof key}`);
  }
  if (!key.isWellFormed()) {
    throw sessionError("invalid_value", "a key must be a well-formed string; this one has half of a surrogate pair");
  }
  if (key.length * 3 > maxKeyBytes) {
    const bytes = new TextEncoder().encode(key).length;
    if (bytes > maxKeyBytes) {
      const name = limits.nameOf("SESSION_MAX_KEY_BYTES", "maxKeyBytes");
      throw sessionError("too_large", `the key is ${bytes} bytes long; ${name} allows ${maxKeyBytes}`);
    }
  }
}
