// SessionStore: a dictionary with a life cycle.
//
// The dictionary is here; the rules are in the core (`src/`), which is asked once for each step.
// Steps that wait for storage follow each other, so that concurrent calls on one session are fine.

import { newSessionId } from "./core.js";
import { call, checkOwner, fromCore, isRefusal, sessionError } from "./errors.js";
import { Table } from "./values.js";
import { realmOf, sinkOf } from "./realm.js";
import { atEnd } from "./tasks.js";

/** Says that a session is opened by `Sessions`. */
export const BY_SESSIONS = Symbol("sessions");

const VALUES = ["+", "-"];
const FLASH = ["!", "_"];

/** What is known of a session that no cookie came for: the order of `Facts` in src/face/js/wire.rs. */
const NOTHING = [null, 1, 0, null, null, null, null, null, 0, 0, 0];

/** Changes to tell, where there are none. */
const NOTHING_NEW = { text: "", confirm() {} };

const committedError = () =>
  sessionError("committed", "the session was committed with the response: change it before that");

/** What `Sessions` does with a session. */
export let internals;

/** One session in one request: an ordered dictionary of JSON values, loaded from and saved to the store. */
export class SessionStore {
  #realm;
  #request;
  #context;
  /** The Cookie header; undefined until it is looked for, where a request came. */
  #cookie;
  #sink;
  /** The core's part, made when it is needed: a visitor without a cookie costs none. */
  #handle;
  #released = false;

  #phase = "u";
  #outcome = "new";
  #destroyed = false;
  /** Why nothing can be read, where the load could not be trusted. */
  #closed;
  #refusal;
  #accessed = false;
  #values;
  #flash;
  /** What the core says of the session, or the JSON of it; undefined where it has to be asked. */
  #facts;
  /** How many steps are under way, or wait for another; and the last of them. */
  #steps = 0;
  #last;
  /** Intents that came while a step was under way. */
  #deferred = [];
  /** Looks for changes after the commit; true where there is something to look at. */
  #watching = false;

  constructor(connector, options, cookieHeader, context) {
    if (connector === BY_SESSIONS) {
      // What `Sessions` opens it by: a request, a Cookie header or nothing.
      this.#realm = options.realm;
      this.#sink = options.sink;
      this.#request = cookieHeader;
      this.#context = context;
    } else {
      this.#realm = realmOf(connector, options);
      this.#sink = sinkOf(options.onEvent);
      this.#cookie = checkCookie(cookieHeader ?? null);
    }
    this.#realm.counts.requests += 1;
  }

  /** A random id of 256 bits in base64url, tied to no session. */
  static generateSessionId() {
    return call(newSessionId);
  }

  // --- reading ---------------------------------------------------------------------------------

  get(key, fallback) {
    const value = this.#read().get(key);
    return value === undefined ? fallback : value;
  }

  require(key) {
    const value = this.#read().get(key);
    if (value === undefined) throw missing(key);
    return value;
  }

  has(key) {
    return this.#read().has(key);
  }

  get size() {
    return this.#read().size;
  }

  get isEmpty() {
    return this.#read().size === 0 && this.#flash.size === 0;
  }

  keys() {
    return this.#read().keys().values();
  }

  values() {
    const table = this.#read();
    return table
      .keys()
      .map((key) => table.get(key))
      .values();
  }

  entries() {
    const table = this.#read();
    return table
      .keys()
      .map((key) => [key, table.get(key)])
      .values();
  }

  [Symbol.iterator]() {
    return this.entries();
  }

  /** All values as one live object; changes in it, nested ones too, are noticed at the next save. */
  get data() {
    const view = this.#read().view();
    return this.#phase === "c" ? late(view) : view;
  }

  set data(values) {
    if (typeof values !== "object" || values === null || Array.isArray(values)) {
      throw sessionError("invalid_value", "data is an object of keys and values");
    }
    const table = this.#edit();
    const written = Object.keys(values)
      .filter((key) => values[key] !== undefined)
      .map((key) => [key, values[key], table.write(key, values[key])]);
    for (const key of table.keys()) if (values[key] === undefined || !Object.hasOwn(values, key)) table.delete(key);
    for (const row of written) table.put(...row);
  }

  // --- changing --------------------------------------------------------------------------------

  set(key, value) {
    this.#edit().set(key, value);
    return this;
  }

  remove(key) {
    return this.#edit().delete(key);
  }

  pop(key, ...fallback) {
    const value = this.#read().get(key);
    if (value === undefined) {
      if (fallback.length === 0) throw missing(key);
      return fallback[0];
    }
    this.#edit().delete(key);
    return value;
  }

  popItem() {
    const table = this.#read();
    const key = table.last();
    if (key === undefined) throw sessionError("missing_key", "the session is empty: nothing to pop");
    const value = table.get(key);
    this.#edit().delete(key);
    return [key, value];
  }

  update(values) {
    const table = this.#edit();
    const pairs = typeof values?.[Symbol.iterator] === "function" ? [...values] : Object.entries(values);
    const written = pairs
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, value, table.write(key, value)]);
    for (const row of written) table.put(...row);
    return this;
  }

  clear() {
    this.#edit().clear();
    this.#flash.clear();
  }

  setDefault(key, value) {
    const found = this.#read().get(key);
    if (found !== undefined) return found;
    this.#edit().set(key, value);
    return value;
  }

  /** Leaves a value that is read once, by a later request as a rule. */
  flash(key, value) {
    this.#edit();
    this.#flash.set(key, value);
    return this;
  }

  takeFlash(key) {
    this.#read();
    const value = this.#flash.get(key);
    if (value !== undefined) {
      this.#edit();
      this.#flash.delete(key);
    }
    return value;
  }

  // --- what is known of the session ------------------------------------------------------------

  /** What the load found. */
  get outcome() {
    this.#accessed = true;
    return this.#outcome;
  }

  /** The public name of the session; null before `create` or the first save. */
  get sessionKey() {
    return this.#fact(0);
  }

  get isNew() {
    return this.#fact(1) === 1;
  }

  get version() {
    return this.#fact(2);
  }

  get createdAt() {
    return date(this.#fact(3));
  }

  get owner() {
    this.#read();
    return this.#fact(4);
  }

  get authTime() {
    this.#read();
    return date(this.#fact(5));
  }

  get idleExpiresAt() {
    this.#read();
    return date(this.#opened(7));
  }

  get expireAtBrowserClose() {
    this.#read();
    return this.#opened(8) === 1;
  }

  get accessed() {
    return this.#accessed;
  }

  /** The last refusal of this session, if there was one. */
  get refusal() {
    this.#accessed = true;
    return this.#refusal;
  }

  requireRecentAuth(maxAge) {
    if (!isNumber(maxAge) || maxAge < 0) {
      throw sessionError("invalid_value", `requireRecentAuth takes a number of seconds, not ${shown(maxAge)}`);
    }
    const at = this.authTime;
    if (at === null || this.#realm.now() - at.getTime() > maxAge * 1000) {
      throw sessionError("reauth_required", `this needs a login within the last ${maxAge} seconds`);
    }
  }

  get modified() {
    if (this.#phase !== "l") return false;
    this.#tell();
    // What this request has changed, by calls that are looks themselves.
    return this.#known(9) === 1;
  }

  set modified(modified) {
    this.#edit();
    this.#intend((handle, changes) => handle.setModified(changes, Boolean(modified)));
  }

  /** True where a commit would write to the store or set a cookie. */
  needsUpdate() {
    if (this.#phase !== "l") return false;
    this.#tell();
    return this.#fact(10) === 1;
  }

  getExpiryAge() {
    const left = (this.getExpiryDate().getTime() - this.#realm.now()) / 1000;
    // A fraction counts as a second: only an end that is reached is 0 or less.
    return left > 0 ? Math.ceil(left) : Math.floor(left);
  }

  getExpiryDate() {
    this.#read();
    return new Date(this.#opened(6));
  }

  setExpiry(expiry) {
    const [kind, value] = readExpiry(expiry);
    this.#edit();
    this.#intend((handle, changes) => {
      if (changes) handle.apply(changes);
      handle.setExpiry(kind, value);
    });
  }

  csrfToken() {
    this.#read();
    if (this.#steps > 0) throw busy("csrfToken");
    let token;
    this.#intend((handle, changes) => (token = handle.csrfToken(changes)));
    return token;
  }

  verifyCsrf(token) {
    this.#read();
    if (this.#steps > 0) throw busy("verifyCsrf");
    this.#guard(() => this.#core().verifyCsrf(String(token)));
  }

  // --- intents ---------------------------------------------------------------------------------

  /** Begins a new session: new token, lineage and key; nothing is written before the commit. */
  create() {
    this.#mayIntend();
    this.#intend((handle, changes) => handle.create(changes));
  }

  /** Gives the session a new token and key; lineage and data stay. */
  cycleKey() {
    this.#mayIntend();
    this.#intend((handle, changes) => {
      if (changes) handle.apply(changes);
      handle.cycleKey();
    });
  }

  /** Login: binds the session to a user, under a new lineage. */
  bind(owner, { keep = true } = {}) {
    checkOwner(owner);
    if (this.#phase !== "l") this.#mayIntend();
    this.#intend((handle, changes) => handle.bind(changes, owner, keep));
  }

  // --- steps -----------------------------------------------------------------------------------

  /** Loads the session; tells what it found. */
  load({ fresh = false } = {}) {
    return this.#queue(async () => {
      await this.#load(fresh);
      if (this.#closed) throw this.#refuse(this.#closed);
      return this.#outcome;
    });
  }

  /** Saves what has changed now, rather than with the commit. */
  save() {
    return this.#queue(async () => {
      this.#mayIntend();
      const { text, confirm } = this.#changes();
      const handle = this.#core();
      try {
        await this.#step(() => handle.save(text), confirm);
      } finally {
        this.#refresh();
      }
    });
  }

  /** Logout: ends the session now, wherever it is used. */
  destroy() {
    return this.#queue(() => this.#end((handle) => handle.destroy()));
  }

  /** Logout that goes on anonymously, with the values of the keys in `keep`. */
  flush({ keep = [] } = {}) {
    return this.#queue(async () => {
      const kept = [...keep].map(String);
      let problem;
      if (this.#phase === "l" && !this.#destroyed && !this.#closed && kept.length > 0) {
        try {
          const { text, confirm } = this.#changes(new Set(kept));
          this.#core().apply(text);
          confirm();
        } catch (error) {
          problem = fromCore(error); // told when the session has ended, which comes first
        }
      }
      await this.#end((handle) => handle.flush(kept), true);
      if (problem) throw problem;
    });
  }

  /** True where a session is there and alive: this one, or that of a session key. */
  exists(key) {
    return this.#queue(async () => {
      if (key !== undefined) return this.#aside((handle) => handle.exists(String(key)));
      if (this.#phase === "u") {
        await this.#load(false);
        if (this.#closed) throw this.#refuse(this.#closed);
      }
      if (this.#released) return this.#fact(1) === 0 && !this.#destroyed;
      return this.#step(() => this.#core().exists(undefined));
    });
  }

  /** Ends a session at once: this one, or that of a session key. */
  delete(key) {
    return this.#queue(async () => {
      if (key === undefined) return this.#end((handle) => handle.destroy());
      if (this.#released) return this.#aside((handle) => handle.delete(String(key)));
      return this.#end((handle) => handle.delete(String(key)));
    });
  }

  // --- what it looks like ----------------------------------------------------------------------

  /** The data only. */
  toJSON() {
    return this.#read().view();
  }

  toString() {
    return `SessionStore(${this.#fact(0) ?? "no key"}, ${this.#outcome})`;
  }

  get [Symbol.toStringTag]() {
    return "SessionStore";
  }

  [Symbol.for("nodejs.util.inspect.custom")](_depth, options, inspect) {
    const readable = this.#phase !== "u" && !this.#closed;
    const shown = readable ? this.#values.view() : {};
    return inspect ? `${this} ${inspect({ ...shown }, options)}` : this.toString();
  }

  // --- the doors -------------------------------------------------------------------------------

  #read() {
    this.#accessed = true;
    if (this.#phase === "u") throw notLoaded();
    if (this.#closed) throw this.#refuse(this.#closed);
    if (this.#watching && this.#released) this.#watching();
    // Committed without a load: empty, as a new session is.
    if (!this.#values) this.#makeTables();
    return this.#values;
  }

  #edit() {
    this.#read();
    this.#mayIntend();
    this.#facts = undefined;
    return this.#values;
  }

  #mayIntend() {
    if (this.#phase === "u") throw notLoaded();
    if (this.#phase === "c") throw committedError();
    if (this.#destroyed) {
      throw this.#refuse(sessionError("destroyed", "the session was destroyed earlier in this request"));
    }
  }

  #refuse(error) {
    if (isRefusal(error)) this.#refusal = error;
    return error;
  }

  #guard(step) {
    try {
      return step();
    } catch (thrown) {
      throw this.#refuse(fromCore(thrown));
    }
  }

  #core() {
    if (this.#handle) return this.#handle;
    if (this.#released) throw committedError();
    const cookie = this.#readCookie();
    this.#handle = this.#realm.open(cookie, this.#request, this.#context, this.#sink);
    // Without a cookie nothing was there to load, and nothing was asked.
    if (this.#phase === "l") {
      this.#handle.load(false);
      this.#realm.counts.new -= 1; // the core counts it now
    }
    return this.#handle;
  }

  /** The Cookie header, or null. A session that nobody looks at does not ask for it. */
  #readCookie() {
    if (this.#cookie === undefined) {
      const request = this.#request;
      const isText = request === undefined || request === null || typeof request === "string";
      this.#cookie = checkCookie((isText ? request : request.headers.get("cookie")) ?? null);
      if (isText) this.#request = undefined;
    }
    return this.#cookie;
  }

  /** All changes since the core was told last, of `only` these values if given. */
  #changes(only) {
    if (this.#phase !== "l" || this.#closed || this.#destroyed) return NOTHING_NEW;
    const values = this.#values.changes(VALUES, only);
    const flash = this.#flash.changes(FLASH);
    if (values === flash) return NOTHING_NEW; // neither has any
    const lines = (values.cleared ? "\n*" : "") + values.lines + flash.lines;
    const confirm = () => {
      values.confirm();
      flash.confirm();
    };
    return { text: lines.slice(1), confirm };
  }

  /** Tells the core what has changed, where it can be told now. */
  #tell() {
    if (this.#steps > 0) return;
    const { text, confirm } = this.#changes();
    if (!text) return;
    this.#guard(() => this.#core().apply(text));
    confirm();
    this.#facts = undefined;
  }

  /** Carries out what the core decides at once; after the step under way, if there is one. */
  #intend(intent) {
    this.#accessed = true;
    if (this.#steps > 0) {
      this.#deferred.push(intent);
      return;
    }
    this.#now(intent);
  }

  #now(intent) {
    this.#guard(() => {
      const { text, confirm } = this.#changes();
      intent(this.#core(), text);
      confirm();
    });
    this.#refresh();
  }

  /** A fact for the application: an answer that is made of it is for this browser only. */
  #fact(index) {
    this.#accessed = true;
    return this.#known(index);
  }

  #known(index) {
    if (this.#facts === undefined) {
      if (!this.#handle) return NOTHING[index];
      this.#facts = this.#handle.facts();
    }
    if (typeof this.#facts === "string") this.#facts = JSON.parse(this.#facts);
    return this.#facts[index];
  }

  /** A fact that the core has to be opened for. */
  #opened(index) {
    if (!this.#released) this.#core();
    return this.#fact(index);
  }

  /** One step of the application's after the other. */
  #queue(step) {
    this.#accessed = true;
    return (this.#last = this.#after(this.#last, step));
  }

  async #after(before, step) {
    this.#steps += 1;
    try {
      if (this.#steps > 1) await before.then(nothing, nothing);
      this.#undefer();
      return await step();
    } finally {
      this.#steps -= 1;
    }
  }

  /** Carries out the intents that came while a step was under way. */
  #undefer() {
    if (this.#deferred.length > 0) for (const intent of this.#deferred.splice(0)) this.#now(intent);
  }

  /** The same for a step that may be done at once; then there is no promise. */
  #soon(step) {
    if (this.#steps > 0) return this.#queue(step);
    this.#undefer();
    const result = step();
    if (!(result instanceof Promise)) return result;
    this.#steps += 1;
    const ended = () => {
      this.#steps -= 1;
    };
    result.then(ended, ended); // before anybody else hears of it
    return (this.#last = result);
  }

  /** A step of the core, and what is made of its answer: at once where the core need not wait. */
  #step(step, before, after = same) {
    let answer;
    try {
      answer = step();
      before?.();
    } catch (thrown) {
      throw this.#refuse(fromCore(thrown));
    }
    return typeof answer === "number" ? this.#wait(answer, after) : after(answer);
  }

  #wait(task, after) {
    return new Promise((resolve, reject) => {
      atEnd(task, (told, isError) => {
        try {
          if (isError) throw this.#refuse(fromCore(told));
          resolve(after(told));
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  async #end(step, flushes = false) {
    if (this.#phase === "c") throw committedError();
    const handle = this.#core();
    try {
      await this.#step(() => step(handle));
    } finally {
      // What the core was not told yet ends with the session.
      this.#refresh((destroyed) => flushes || destroyed);
    }
  }

  /** Asks about another session, without touching this one. */
  async #aside(step) {
    const handle = this.#realm.open();
    try {
      return await this.#step(() => step(handle));
    } finally {
      handle.free();
    }
  }

  #load(fresh) {
    if (this.#phase === "c" || (this.#phase === "l" && !fresh)) return undefined;
    if (!this.#handle && this.#readCookie() === null) return this.#loadNothing();
    const { text, confirm } = this.#changes();
    const handle = this.#core();
    if (text) handle.apply(text);
    confirm();
    return this.#step(() => handle.load(fresh), undefined, (told) => this.#take(told));
  }

  /** There is nothing to load where no cookie came. */
  #loadNothing() {
    if (this.#phase !== "l") this.#realm.counts.new += 1;
    this.#phase = "l";
    this.#makeTables();
  }

  #makeTables() {
    this.#values ??= new Table(this.#realm.limits);
    this.#flash ??= new Table(this.#realm.limits);
  }

  /** Takes over what a load told: the state, or why it cannot be trusted. */
  #take(told) {
    if (typeof told === "string") {
      this.#apply(told);
    } else {
      this.#refresh();
      this.#closed = fromCore(told);
    }
  }

  #refresh(forgets) {
    this.#apply(call(() => this.#handle.state()), forgets);
  }

  #apply(state, forgets) {
    const lines = state.split("\n");
    const head = lines[0];
    this.#phase = head[0];
    this.#destroyed = head[1] === "1";
    if (head[2] === "0") this.#closed = undefined;
    this.#outcome = head.slice(3);
    this.#facts = lines[1];
    const { limits } = this.#realm;
    const forget = forgets?.(this.#destroyed);
    const end = fill((this.#values ??= new Table(limits)), lines[2], lines, 4, forget);
    fill((this.#flash ??= new Table(limits)), lines[3], lines, end, forget);
  }

  // --- for Sessions ----------------------------------------------------------------------------

  static {
    internals = {
      /** Loads without a word about what was found: that is the session's to tell. */
      load: (session, fresh = false) => session.#soon(() => session.#load(fresh)),

      /** Commits: the Set-Cookie values, and whether the answer depends on the session. */
      commit(session, status, context) {
        // Nobody looked at it: there is nothing to decide.
        if (!session.#handle && session.#steps === 0 && !session.#accessed && session.#phase !== "c") {
          session.#phase = "c";
          session.#released = true;
          return NO_HEADERS;
        }
        return session.#soon(() => session.#commit(status, context));
      },

      /** The headers for what was done already, where the commit failed. */
      done(session) {
        if (!session.#handle) return NO_HEADERS;
        return session.#queue(() => session.#headers(call(() => session.#handle.done())));
      },

      release: (session) => session.#release(),
      warn: (session, message) => {
        if (!session.#realm.disableWarnings) console.warn(`edge-session: ${message}`);
      },
    };
  }

  #commit(status, context) {
    if (this.#phase === "c") throw committedError();
    let text = "";
    let problem;
    if (status < 500) {
      try {
        text = this.#changes().text;
        this.#watching = this.#phase === "l" && !this.#destroyed && this.#values.isShared;
      } catch (error) {
        problem = error; // nothing is put then
      }
    }
    const timed = this.#realm.serverTiming && this.#accessed;
    if (!text && !problem && !timed && this.#isDone()) {
      this.#phase = "c";
      this.#released = true;
      return { cookies: [], depends: this.#accessed };
    }
    const handle = this.#core();
    // Whatever comes of it, it was the last step.
    this.#phase = "c";
    return this.#step(() => handle.commit(text, problem ? 500 : status, context ?? undefined), undefined, (told) => {
      if (problem) throw problem;
      return this.#headers(told);
    });
  }

  /** True where a commit would do nothing, as the core has said before: it need not be asked again. */
  #isDone() {
    if (!this.#handle) return true;
    const facts = this.#facts;
    // The last of them is `needsUpdate`, and they are a text until somebody looks at one.
    return typeof facts === "string" ? facts.endsWith(",0]") : facts?.at(-1) === 0;
  }

  #headers(told) {
    const [depends, facts, timing, ...cookies] = told.split("\n");
    if (facts) this.#facts = facts;
    return { cookies, depends: depends === "1" || this.#accessed, timing };
  }

  /** Lets go of the core's part: what can still be read is here. */
  #release() {
    const handle = this.#handle;
    this.#phase = "c";
    // A step that nobody waited for needs it still; it goes with the session then.
    if (this.#steps > 0) return;
    this.#released = true;
    if (handle) {
      this.#facts ??= handle.facts();
      this.#handle = undefined;
      handle.free();
    }
    if (this.#watching && !this.#realm.disableWarnings) this.#watch();
    else this.#watching = false;
  }

  /** Warns of changes that came too late, in values that were handed out before the commit. */
  #watch() {
    const look = () => {
      if (this.#watching && this.#values.hasDrifted) {
        this.#watching = false;
        console.warn(
          "edge-session: session data was changed after the session was committed with the response, " +
            "and the change is lost: change it before that",
        );
      }
    };
    this.#watching = look;
    // For an answer that is still being streamed. One that is complete ends this timer too.
    setTimeout(look, LATE)?.unref?.();
  }
}

/** Milliseconds after a commit when its data is looked at again. */
const LATE = 1000;

const nothing = () => {};
const same = (answer) => answer;

/** Fills a table with the keys and, from the line `at` on, the texts that the core told. */
function fill(table, keys, lines, at, forget) {
  if (keys === "[]" && table.isUntouched) return at;
  const names = JSON.parse(keys);
  if (forget) table.forget();
  table.reset(names, lines.slice(at, at + names.length));
  return at + names.length;
}

function checkCookie(cookie) {
  if (cookie === null || typeof cookie === "string") return cookie;
  throw sessionError("invalid_value", "a session is opened by a Cookie header, which is text, or by nothing");
}

const NO_HEADERS = { cookies: [], depends: false };

/** The view of a committed session: reading is allowed, a change is the error. */
function late(value) {
  if (typeof value !== "object" || value === null) return value;
  const refuse = () => {
    throw committedError();
  };
  // Over a copy: a proxy of something frozen may not answer otherwise than that.
  const copy = Array.isArray(value) ? [...value] : Object.assign(Object.create(Object.getPrototypeOf(value)), value);
  return new Proxy(copy, {
    get: (target, key, receiver) => late(Reflect.get(target, key, receiver)),
    set: refuse,
    deleteProperty: refuse,
    defineProperty: refuse,
    setPrototypeOf: refuse,
  });
}

function readExpiry(expiry) {
  if (expiry === null || expiry === undefined) return ["default", 0];
  // The core rounds, so that no fraction becomes 0.
  if (isNumber(expiry)) return ["after", expiry];
  if (expiry instanceof Date && !Number.isNaN(expiry.getTime())) return ["at", expiry.getTime()];
  const idle = expiry?.idle;
  if (idle === null) return ["idle", 0];
  if (isNumber(idle) && idle >= 0) return ["idle", idle];
  throw sessionError(
    "invalid_value",
    "an expiry is a number of seconds, a Date, {idle: seconds}, {idle: null} for no idle limit, or null for the settings' own",
  );
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** A value in an error: its type where it is not a number, since it may be a secret. */
const shown = (value) => (typeof value === "number" || value === undefined ? String(value) : `a ${typeof value}`);

const date = (milliseconds) => (milliseconds === null ? null : new Date(milliseconds));

const missing = (key) => sessionError("missing_key", `the session has no key ${JSON.stringify(key)}`);

const notLoaded = () =>
  sessionError(
    "not_loaded",
    "the session was not loaded; call load() first, or use handle() instead of handleLazy()",
  );

const busy = (method) =>
  sessionError("unavailable", `${method}() cannot answer while a save or load of this session is under way`);
