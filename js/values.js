// Values: what JSON can carry, written as JSON, and the table that holds them.

import { sessionError } from "./errors.js";

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
 * what that loses or changes in silence, which is the error `invalid_value` with the path to it.
 */
export function toJson(value, key, maxDepth) {
  return located(key, () => {
    const text = write(value, key, maxDepth);
    if (text === undefined) throw new Problem("undefined, which JSON cannot represent");
    return text;
  });
}

/** The keys and values of an object that is taken apart: a key that would be left out is the error `invalid_value`. */
export function entriesOf(values) {
  if (typeof values !== "object" || values === null) {
    throw sessionError("invalid_value", "pass an object of keys and values");
  }
  return located(undefined, () => namesOf(values).map((name) => [name, member(values, name, (value) => value)]));
}

/** What `run` gives; the problem that it meets becomes an error that tells the path, which begins at `key`. */
function located(key, run) {
  try {
    return run();
  } catch (thrown) {
    const problem = problemOf(thrown);
    const path = key === undefined ? problem.path.replace(/^\./, "") : step(key, true) + problem.path;
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
  if (depth === 0) throw new Problem(`nested too deeply (SESSION_MAX_DEPTH), or contains itself`);
  const prototype = Object.getPrototypeOf(value);
  const isArray = Array.isArray(value);
  const isPlain = isArray ? Array.isArray(prototype) : isPlainPrototype(prototype);
  // These have a toJSON too, in Node.js, and would come back as something else.
  if (!isPlain && isDate(value)) {
    throw new Problem(
      "a Date, which would come back as a string: store date.toISOString() or date.getTime(), and create a Date from it when you read it",
    );
  }
  if (!isPlain && ArrayBuffer.isView(value)) {
    throw new Problem(`a ${nameOf(value)}, which JSON cannot represent: store its bytes as a string, in base64 for example`);
  }
  if (!asked && typeof value.toJSON === "function") {
    // Its answer takes the object's place and is not asked again, as JSON.stringify has it.
    const text = write(value.toJSON(String(key)), key, depth, true);
    if (text === undefined) throw new Problem("turned into undefined by its toJSON(), which JSON cannot represent");
    return text;
  }
  if (!isPlain) {
    if (isBoxed(value)) return write(value.valueOf(), key, depth);
    throw new Problem(`a ${nameOf(value)}, which JSON cannot fully represent: store plain data, or add a toJSON()`);
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
  // The indices are all there, and the length.
  const names = Reflect.ownKeys(array);
  if (names.length > length + 1) {
    const name = names.slice(length).find((name) => name !== "length");
    throw at(name, new Problem("a named property of an array, which JSON leaves out: store only the elements, as [...array]"));
  }
  return `${text}]`;
}

/** The names of an object's members, none of which JSON leaves out. */
function namesOf(object) {
  const names = Object.keys(object);
  const symbols = Object.getOwnPropertySymbols(object);
  // Counted apart, which is quicker than all in one list.
  if (symbols.length === 0 && Object.getOwnPropertyNames(object).length === names.length) return names;
  const lost = Reflect.ownKeys(object).find((name) => !names.includes(name));
  const what =
    typeof lost === "symbol"
      ? "a property with a symbol as its name, which JSON leaves out: use a string as its name"
      : "a property that is not enumerable, which JSON leaves out: make it enumerable";
  throw at(lost, new Problem(what));
}

/** What `look` makes of a member: its value, its name and what else it needs. */
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

/** What a value threw is code of the application's: a getter, a proxy, a toJSON. */
const problemOf = (thrown) =>
  thrown instanceof Problem ? thrown : new Problem("not readable: reading it threw an error", thrown);

/** That of objects without a class, of this realm or another. */
const isPlainPrototype = (prototype) =>
  prototype === Object.prototype ||
  prototype === null ||
  (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "isPrototypeOf"));

const isDate = (value) => value instanceof Date || Object.prototype.toString.call(value) === "[object Date]";

/** A text, number or boolean as an object, with nothing beside it. */
function isBoxed(value) {
  if (value instanceof String) return Reflect.ownKeys(value).length === value.length + 1;
  return (value instanceof Number || value instanceof Boolean) && Reflect.ownKeys(value).length === 0;
}

const nameOf = (value) => value.constructor?.name || "class instance";

function step(name, first = false) {
  if (typeof name === "number") return `[${name}]`;
  if (typeof name === "symbol") return `[${String(name)}]`;
  if (!/^[A-Za-z_$][\w$]*$/.test(name)) return `[${JSON.stringify(name)}]`;
  return first ? name : `.${name}`;
}

const isObject = (value) => typeof value === "object" && value !== null;

// --- objects that several sessions hold ----------------------------------------------------------

/** The table whose data an object has been part of, by its number. */
const owners = new WeakMap();
let tables = 0;
let wasWarned = false;

/**
 * Says once that an object stands in the data of several sessions: what one visitor does to it shows
 * up for the next. `set` and its like store a copy; what was assigned in `data` is the application's
 * own object. One that is frozen throughout does no harm.
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

/** Notes what `value` holds as the data of `table`; gives the path to what was another's. */
function claim(value, table, path) {
  if (!isObject(value)) return undefined;
  const owner = owners.get(value);
  if (owner === undefined) owners.set(value, table);
  else if (owner !== table) return isFrozen(value) ? undefined : path;
  for (const name of Object.keys(value)) {
    const found = claim(value[name], table, path + step(Array.isArray(value) ? Number(name) : name));
    if (found !== undefined) return found;
  }
  return undefined;
}

const isFrozen = (value) => !isObject(value) || (Object.isFrozen(value) && Object.values(value).every(isFrozen));

// --- the table -----------------------------------------------------------------------------------

/** What stands under a key. */
class Row {
  /** The text that the core has, or is going to have with the steps that wait; undefined where it has none. */
  base;
  /** The text that the core told last. */
  stored;
  /** The value's text; undefined where the value was handed out, and must be written anew. */
  text;
  /** Undefined until it is asked for, but for what cannot change. */
  value;
  /** Its text when it was last compared. */
  last;
  /** When it came, and when it was set last, by the count of steps; -1 for what the core told. */
  cameAt = -1;
  setAt = -1;
  /** With which step the core is told of it. */
  toldAt = 0;
  /** True where it was set, rather than changed from within, since the core was told of it. */
  isSet = false;
  /** True where steps were under way then: what the core is going to have is not known. */
  isBlind = false;
  /** It went with the session that it belonged to. */
  isOver = false;

  static told(text) {
    const row = new Row();
    row.base = row.stored = row.text = text;
    return row;
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

  set(value, text, { step, steps }) {
    this.value = value;
    this.text = text;
    this.setAt = step;
    this.isSet = true;
    this.isBlind ||= steps > 0;
  }
}

/** What tables share while they are empty. Nothing may ever stand in it: it would be everybody's. */
const refuse = () => {
  throw new TypeError("the map shared by all empty tables must stay empty");
};
const NO_ROWS = Object.assign(new Map(), { set: refuse });
const NO_KEYS = Object.assign(new Map(), { set: refuse });

/**
 * Keys in order of insertion, values parsed when asked for, and what has changed.
 *
 * Steps of the session may be under way or wait for another, each of which was told what had changed
 * before it. So that what a step brings back (`reset`) replaces that and nothing later, everything
 * is stamped with the `step` of the session's `order`, which counts them.
 */
export class Table {
  /** Of its own when something is put into it: most requests leave one of a session's tables empty. */
  #rows = NO_ROWS;
  /** Keys that were removed: when, and whether the core was told. */
  #removed = NO_KEYS;
  /** The same of all that was there. */
  #cleared;
  /** When all was let go of. */
  #leftAt = -1;
  /** The values as a live object, once somebody has asked for it. */
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
    if (this.#view) return this.#view[key] !== undefined;
    return this.#rows.has(key);
  }

  get(key) {
    if (this.#view) return this.#view[key];
    return this.#rows.get(key)?.read();
  }

  /** The text of `value` under `key`, checked. */
  write(key, value) {
    checkKey(key, this.#limits);
    return toJson(value, key, this.#limits.maxDepth);
  }

  /** Puts a copy of `value`, which is its `text`; the table's own object stays what it is. */
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

  /** Lets go of all but the keys in `kept`, without a word to the core: with the step that is called now it does the same. */
  leave(kept) {
    this.#look();
    this.#leftAt = this.#order.step;
    this.#empty(kept);
  }

  #empty(kept) {
    for (const [key, row] of this.#rows) {
      if (kept?.has(key)) continue;
      row.isOver = true;
      this.#rows.delete(key);
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

  /** Of the view's `names`, those that were deleted and set again are the last. */
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

  #drop(key) {
    if (this.#removed === NO_KEYS) this.#removed = new Map();
    this.#removed.set(key, { at: this.#order.step, isTold: false });
    this.#rows.get(key).isOver = true;
    this.#rows.delete(key);
  }

  #insert(key, row) {
    if (this.#rows === NO_ROWS) this.#rows = new Map();
    row.cameAt = this.#order.step;
    this.#rows.set(key, row);
  }

  /**
   * The text of a row that the core has otherwise, else undefined. Whether two texts mean the same
   * is the core's to say, but for what JavaScript cannot tell apart: it would write the core's text
   * like this, where that is 1.0.
   */
  #changed(key, row) {
    if (row.value === undefined && row.text === row.base && !row.isBlind) return undefined;
    const text = row.text ?? this.write(key, row.value);
    row.last = text;
    if (!row.isBlind) {
      if (text === row.base || (row.base !== undefined && text === this.#rewritten(key, row.base))) return undefined;
    }
    return row.stored !== undefined && text === this.#rewritten(key, row.stored) ? row.stored : text;
  }

  #rewritten(key, text) {
    return this.write(key, JSON.parse(text));
  }

  /**
   * What has changed since this was last asked and confirmed: whether all was cleared, the keys
   * that were removed, and the rows that were set, with their texts; undefined for nothing. `only`
   * names the keys to look at, by default all.
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

  /** The changes are told with the step `step`. */
  confirm({ sets }, step) {
    if (this.#cleared) this.#cleared.isTold = true;
    for (const removal of this.#removed.values()) removal.isTold = true;
    for (const { row, text } of sets) {
      row.base = text;
      row.toldAt = step;
      row.isSet = row.isBlind = false;
    }
  }

  /** Objects that were handed out can stand in several sessions. */
  #lookForSharing(key, row, isChanged) {
    if (wasWarned || this.#limits.disableWarnings || !isObject(row.value)) return;
    const owner = owners.get(row.value);
    if (owner === undefined && !isChanged) owners.set(row.value, this.#number);
    else if (owner !== this.#number || isChanged) warnOfSharing(row.value, this.#number, key);
  }

  /**
   * Takes over the core's keys and texts, as they are after the step `step`; what was changed later,
   * or from within a value, stays. `isAnother` says that they may be those of another session: what
   * belonged to the one before goes with it.
   */
  reset(keys, texts, step, isAnother) {
    this.#look();
    const old = this.#rows;
    this.#rows = new Map();
    const isLater = (row) => row.setAt >= step;
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

  /** `row` where the core's `text` says what it said, or it has changed from within; else another. */
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

/** True where two JSON texts mean the same, in whatever order the members stand. */
const isSame = (one, other) => one !== undefined && sorted(one) === sorted(other);

const sorted = (text) =>
  JSON.stringify(JSON.parse(text), (_, value) =>
    isObject(value) && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );

/** True for a key that stands before all others in an object, whenever it was set. */
const isIndex = (key) => /^(0|[1-9]\d{0,9})$/.test(key) && Number(key) < 2 ** 32 - 1;

function checkKey(key, { maxKeyBytes }) {
  if (typeof key !== "string") {
    throw sessionError("invalid_value", `a key must be a string, not ${key === null ? "null" : typeof key}`);
  }
  if (!key.isWellFormed()) {
    throw sessionError("invalid_value", "a key must be a well-formed string; this one has half of a surrogate pair");
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
