// SessionStore: a dictionary with a life cycle.
//
// The dictionary is here. The rules are in the core (`src/`), which is called once for each step and
// returns the session's state with each answer. Steps run in the order of their calls, so
// concurrent calls on one session are safe.

import { begin, dice, newSessionId, release, unwatch, watch } from "./core.js";
import { ENDS_SESSIONS, drive, hear } from "./driver.js";
import { checkOwner, fromCore, isRefusal, sessionError, warnOf } from "./errors.js";
import { TimeLimit } from "./time-limit.js";
import { Table, entriesOf } from "./values.js";
import { checkCall, configOf, sinkOf, toConsole } from "./config.js";

/** Marks a context that is not the one of a single request. */
export const OF_NO_REQUEST = Symbol.for("edge-session.of-no-request");

/** Marks a call of the constructor by `Sessions`. */
export const BY_SESSIONS = Symbol("sessions");

const committedError = () =>
  sessionError("committed", "the session was already committed with the response; make changes before the commit");

const lateError = () =>
  sessionError(
    "committed",
    "the session is used for the first time after its response was handed over, so that response lacks " +
      "Cache-Control: no-store and may be shown to others; use the session before, for example by reading owner",
  );

/** The methods that only `Sessions` may use. */
export let internals;

/** One session in one request: an ordered dictionary of JSON values, loaded from and saved to the store. */
export class SessionStore {
  #config;
  #request;
  #context;
  /** The Cookie header; undefined until it is read from the request. */
  #cookie;
  #sink;
  /** The core's number for this session. Assigned when needed: a visitor without a cookie needs none. */
  #handle;
  /** The latest state from the core: `session` in src/face/js/wire.rs. */
  #known;
  /** The time limit on the store. */
  #limit;
  /** Errors that the store has thrown. */
  #causes = [];
  /** True after the commit. Reading still works. */
  #isCommitted = false;
  /** True from the start of the commit until it succeeds. After a failure, what was done before still has headers. */
  #hasFailedCommit = false;
  /** True after a commit with a response that may be cached, because nothing of the session was used. */
  #isUnmarked = false;
  #isReleased = false;
  #refusal;
  /** The last error caused by the state of the session, not by a mistake in the application's code. */
  #lastError;
  #accessed = false;
  #values;
  #flash;
  /** Changes to pass to the core with the next step, each with the number of the step at which they were noted. */
  #untold = [];
  /** The number of the latest step, and how many steps are running or waiting. */
  #order = { step: 0, steps: 0 };
  /** The promise of the latest step. */
  #last;
  /** While steps are running: true if something was decided after the last call of save. */
  #unsaved = false;
  /** While steps are running: the expected owner, and whether the session is new, after all of them. */
  #ahead;
  /** While steps are running: true if one of them ends the session. */
  #isEnding = false;
  /** Logins that wait for a step. Later calls concern the session that they start. */
  #logins = 0;
  /** The error of an intent that had to wait for a step. The next step throws it. */
  #trouble;
  /** Whether to look for changes after the commit; after the release, the function that looks. */
  #watching = false;
  /** Its member of `handled`. */
  #isHandledAs;
  /** True while handlers of its request are running. The outermost of them commits. */
  #isHandled = false;
  /** True if operations were counted for this request after its timing was read. */
  #hasOldTiming = false;
  /** True if `load` or `open` returned it inside a handler. */
  #isHandedOut = false;
  /** True if a handler has failed, so that the changes must be dropped. */
  #isToDrop = false;

  constructor(connector, options, cookieHeader, context) {
    if (connector === BY_SESSIONS) {
      // `Sessions` passes a request, a Cookie header or nothing.
      this.#config = options.config;
      this.#sink = options.sink;
      this.#request = cookieHeader;
      this.#context = context;
    } else {
      this.#config = configOf(connector, options);
      this.#sink = sinkOf(options.onEvent);
      this.#cookie = checkCookie(cookieHeader ?? null);
    }
    this.#config.counts.requests += 1;
    this.#known = this.#config.unopened;
  }

  /** A random id of 256 bits in base64url. It belongs to no session. */
  static generateSessionId() {
    return newSessionId();
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

  /** All values as one live object. The next save notices changes in it, including nested ones. */
  get data() {
    const view = this.#read().view();
    return this.#isCommitted ? late(view) : view;
  }

  set data(values) {
    const table = this.#tables();
    const written = writeAll(table, entriesOf(values));
    const names = new Set(written.map(([key]) => key));
    this.#edit();
    for (const key of table.keys()) if (!names.has(key)) table.delete(key);
    for (const row of written) table.put(...row);
  }

  // --- changing --------------------------------------------------------------------------------

  set(key, value) {
    const text = this.#tables().write(key, value);
    this.#edit().put(key, value, text);
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
    const table = this.#tables();
    const written = writeAll(table, entriesOf(values, true));
    this.#edit();
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
    // Returns the session's own copy: later changes of `value` do not affect it.
    return this.set(key, value).get(key);
  }

  /** Stores a value that can be read once, usually by a later request. */
  flash(key, value) {
    this.#tables();
    const text = this.#flash.write(key, value);
    this.#edit();
    this.#flash.put(key, value, text);
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

  // --- facts about the session -----------------------------------------------------------------

  /** What the load found. */
  get outcome() {
    return this.#facts().outcome;
  }

  /** The public name of the session; null before `create` or the first save. */
  get sessionKey() {
    return this.#facts().sessionKey ?? null;
  }

  get isNew() {
    return this.#facts().isNew === true;
  }

  get version() {
    return this.#facts().version;
  }

  get createdAt() {
    return date(this.#facts().createdAt);
  }

  get owner() {
    this.#read();
    return this.#expected.owner;
  }

  get authTime() {
    this.#read();
    return date(this.#details.authTime);
  }

  get idleExpiresAt() {
    this.#read();
    return date(this.#ends().idleEnd);
  }

  get expireAtBrowserClose() {
    this.#read();
    return this.#ends().browserClose === true;
  }

  get accessed() {
    return this.#accessed;
  }

  /** The last refusal of this session, if any. */
  get refusal() {
    this.#accessed = true;
    return this.#refusal;
  }

  requireRecentAuth(maxAge) {
    if (!isNumber(maxAge) || maxAge < 0) {
      throw sessionError("invalid_value", `requireRecentAuth needs a number of seconds, not ${shown(maxAge)}`);
    }
    const at = this.authTime;
    if (at === null || this.#config.now() - at.getTime() > maxAge * 1000) {
      throw this.#noted(sessionError("reauth_required", `this operation needs a login within the last ${maxAge} seconds`));
    }
  }

  get modified() {
    this.#tell();
    // Calls that change something have already marked the session as accessed.
    return this.#order.steps > 0 ? this.#unsaved || this.#isDirty : this.#known.modified === true;
  }

  set modified(modified) {
    this.#intend({ op: "modified", value: Boolean(modified) });
  }

  /** True if a commit would write to the store or set a cookie. */
  needsUpdate() {
    this.#accessed = true;
    this.#tell();
    return (this.#known.needsUpdate === true || (this.#order.steps > 0 && this.modified)) && !this.#isCommitted;
  }

  getExpiryAge() {
    const left = (this.getExpiryDate().getTime() - this.#config.now()) / 1000;
    // Round up, so that only an end that has been reached gives 0 or less.
    return left > 0 ? Math.ceil(left) : Math.floor(left);
  }

  getExpiryDate() {
    this.#read();
    return new Date(this.#ends().end);
  }

  setExpiry(expiry) {
    const said = readExpiry(expiry);
    if (!this.#isCommitted) this.#read();
    this.#intend({ op: "expiry", ...said });
  }

  csrfToken() {
    return this.#form("csrfToken", { op: "csrf" });
  }

  verifyCsrf(token) {
    // Anything but a string is refused like a wrong token.
    this.#form("verifyCsrf", { op: "verify", token: typeof token === "string" ? token : "" });
  }

  /** CSRF operations. They work even if the session itself cannot be read. */
  #form(method, operation) {
    this.#accessed = true;
    const { hides } = this.#known;
    if (!this.#isCommitted && hides?.code === "not_loaded") throw this.#refused(hides);
    if (this.#order.steps > 1 || this.#isEnding) throw busy(method);
    return this.#take(this.#begin(operation));
  }

  // --- intents ---------------------------------------------------------------------------------

  /** Starts a new session with a new token, lineage and key. Nothing is written before the commit. */
  create() {
    this.#intend({ op: "create" });
  }

  /** Gives the session a new token and key. Lineage and data stay. */
  cycleKey() {
    this.#intend({ op: "cycle" });
  }

  /** Renews the login after the user has proved again who they are: new key and login time, the rest stays. */
  reauthenticate() {
    this.#intend({ op: "reauthenticate" });
  }

  /** Login: binds the session to a user, under a new lineage. */
  bind(owner, options = {}) {
    const { keep = true } = checkCall(options, "bind", "keep");
    this.#intend({ op: "bind", owner: checkOwner(owner), keep: Boolean(keep) });
  }

  // --- steps -----------------------------------------------------------------------------------

  /** Loads the session and returns the outcome. */
  load(options = {}) {
    let fresh;
    let problem;
    try {
      ({ fresh = false } = checkCall(options, "load", "fresh"));
    } catch (error) {
      problem = error;
    }
    const number = this.#changesToKeep();
    return this.#queue(async () => {
      if (problem) throw problem;
      await this.#load(fresh, number);
      this.#checkLoad();
      return this.#facts().outcome;
    });
  }

  /** Saves the changes now instead of with the commit. */
  save() {
    let told;
    let problem;
    try {
      told = this.#changes();
      const saves = this.#untold.length > 0 || this.#unsaved || this.#known.modified === true;
      this.#expect({ isNew: this.#expected.isNew && !saves });
      this.#unsaved = false;
    } catch (error) {
      problem = error;
    }
    return this.#queue(async () => {
      if (problem) throw problem;
      await this.#step({ op: "save" }, told);
    });
  }

  /** Logout: ends the session immediately, wherever it is used. */
  destroy() {
    return this.#end({ op: "destroy" });
  }

  /** Logout that continues anonymously with the values of the keys in `keep`. */
  flush(options = {}) {
    let kept = [];
    let problem;
    try {
      const { keep = kept } = checkCall(options, "flush", "keep");
      if (typeof keep === "string") throw invalid(`flush: keep must be a list of keys, not a string: pass [${JSON.stringify(keep)}]`);
      kept = [...keep].map(String);
    } catch (error) {
      problem = error; // the logout is more important, see below
    }
    return this.#end({ op: "flush", keep: kept }, new Set(kept), problem);
  }

  /** True if a session exists and is alive: this one, or the one with this session key. */
  exists(key) {
    const number = this.#changesToKeep();
    return this.#queue(async () => {
      if (key !== undefined) return this.#aside({ op: "exists", key: keyOf(key) });
      await this.#load(false, number);
      this.#checkLoad();
      return this.#facts().isStored === true;
    });
  }

  /** Ends a session immediately: this one, or the one with this session key. */
  delete(key) {
    if (key === undefined) return this.destroy();
    const text = keyOf(key);
    const number = this.#nextStep();
    return this.#queue(async () => {
      if (this.#handle) return void (await this.#step({ op: "delete", key: text }, number));
      if (text !== "" && text === this.#details.sessionKey) throw committedError();
      await this.#aside({ op: "deleteOther", key: text });
    }, OTHER_END);
  }

  // --- conversion ------------------------------------------------------------------------------

  /** The data only. */
  toJSON() {
    return this.#read().view();
  }

  toString() {
    this.#accessed = true;
    const { sessionKey = "no key", outcome = "not loaded" } = this.#details;
    return `SessionStore(${sessionKey}, ${outcome})`;
  }

  get [Symbol.toStringTag]() {
    return "SessionStore";
  }

  [Symbol.for("nodejs.util.inspect.custom")](_depth, options, inspect) {
    const shown = this.#known.hides ? {} : this.#tables().view();
    return inspect ? `${this} ${inspect({ ...shown }, options)}` : this.toString();
  }

  // --- access checks ---------------------------------------------------------------------------

  #mayRead() {
    const { hides } = this.#known;
    if (hides && this.#logins === 0) throw this.#refused(hides);
  }

  /** From now on the response depends on the session. Without a cookie there is nothing of anybody in it. */
  #use() {
    const { hides } = this.#known;
    if (this.#isUnmarked && this.#known !== this.#config.nothing && hides?.code !== "not_loaded") throw this.#noted(lateError());
    this.#accessed = true;
  }

  /** Throws if the load cannot be trusted. */
  #checkLoad() {
    const { hides } = this.#known;
    if (hides && hides.code !== "not_loaded") throw this.#refused(hides);
  }

  #read() {
    this.#use();
    this.#mayRead();
    if (this.#watching && this.#isReleased) this.#watching();
    return this.#tables();
  }

  #edit() {
    if (this.#isCommitted && this.#known.hides?.code === "not_loaded") throw committedError();
    const table = this.#read();
    if (this.#isCommitted) throw committedError();
    if (this.#known.edits && this.#logins === 0) throw this.#refused(this.#known.edits);
    if (this.#ahead?.isDestroyed) throw this.#noted(destroyed());
    return table;
  }

  #tables() {
    this.#values ??= new Table(this.#config, this.#order);
    this.#flash ??= new Table(this.#config, this.#order);
    return this.#values;
  }

  /** What the application may ask about the session. Most requests ask for little of it. */
  get #details() {
    const known = this.#known;
    if (typeof known.details === "string") known.details = JSON.parse(known.details);
    return known.details;
  }

  /** An error from the core's description. */
  #refused(told) {
    return this.#noted(told.code === "not_loaded" ? notLoaded() : fromCore(told, this.#causes));
  }

  #noted(error) {
    this.#lastError = error;
    if (isRefusal(error)) this.#refusal = error;
    return error;
  }

  /** The facts since the load, for the application. A response that uses them is for this browser only. */
  #facts() {
    this.#use();
    const details = this.#details;
    if (details.outcome === undefined) throw notLoaded();
    return details;
  }

  /** The current limits of the session. */
  #ends() {
    if (this.#handle && !this.#isCommitted) this.#take(this.#begin({ op: "look" }));
    const { nothing, unopened } = this.#config;
    return this.#known === nothing || this.#known === unopened ? this.#config.nobody() : this.#details;
  }

  // --- the core --------------------------------------------------------------------------------

  /** Starts an operation of the core, with the changes made before the step `number` was called. */
  #begin(operation, number) {
    if (this.#isCommitted) throw committedError();
    const config = this.#config;
    const now = config.now();
    const isFirst = this.#handle === undefined;
    const isLoad = operation.op === "load";
    let cookie;
    if (isFirst) {
      cookie = this.#readCookie() ?? undefined;
      if (this.#listener) operation.reports = true;
      // Without a cookie there was nothing to load, and the core was not called.
      if (this.#known === config.nothing) {
        operation.loaded = true;
        config.counts.new -= 1; // the core counts it now
      }
    }
    // A load reads the cookies only. Later steps may read more, once.
    const readsRequest = !isLoad && Boolean(this.#request) && (isFirst || this.#known.readsRequest === true);
    if (readsRequest) operation.request = headOf(this.#request);
    const changes = this.#due(number);
    const random = isLoad ? undefined : dice();
    const told = begin(config.core, this.#handle ?? 0, operation, cookie, changes, now, random);
    if (readsRequest) this.#request = undefined;
    if (told.handle !== undefined) watch(this, (this.#handle = told.handle));
    return hear(told, { sink: this.#listener });
  }

  get #listener() {
    return this.#sink ?? (this.#config.events ? toConsole : undefined);
  }

  /** A step of the core. Returns its result, or a promise of it if the store has to be asked. */
  #step(operation, number, context = this.#context) {
    const isAnother = BEGINS_ANEW.has(operation.op);
    const told = this.#begin(operation, number);
    if (!told.ask) return this.#take(told, number, isAnother);
    const limit = (this.#limit ??= new TimeLimit(this.#config));
    const world = {
      config: this.#config,
      limit,
      context,
      sink: this.#listener,
      causes: this.#causes,
      mints: operation.op !== "load",
      isEnd: ENDS_SESSIONS.has(operation.op),
    };
    return drive(told, this.#handle ?? told.handle, world).then((told) => this.#take(told, number, isAnother));
  }

  /** An operation on another session, without access to this one. */
  async #aside(operation) {
    try {
      return await this.#config.ask(operation, this.#context, this.#counter());
    } catch (error) {
      throw this.#noted(error);
    }
  }

  /** The core's number under which other operations of this request are counted; undefined if they are not. */
  #counter() {
    if (!this.#config.serverTiming || this.#isCommitted) return undefined;
    if (this.#handle === undefined) this.#take(this.#begin({ op: "tell" }));
    this.#hasOldTiming = true;
    return this.#handle;
  }

  /** Applies the core's answer to the step `number`. */
  #take({ session, data, lines = [], error, done, isOver }, number, isAnother) {
    if (session) {
      if (session.cookies) session.cookies = lines.splice(0, session.cookies);
      this.#known = session;
    }
    if (isOver) {
      unwatch(this);
      this.#handle = undefined;
    }
    if (data) {
      this.#tables().reset(data.values, lines, number, isAnother);
      this.#flash.reset(data.flash, lines.slice(data.values.length), number, isAnother);
    }
    if (error) throw this.#refused(error);
    return done;
  }

  /** The Cookie header, or null. It is not read for a session that is not used. */
  #readCookie() {
    if (this.#cookie === undefined) {
      const request = this.#request;
      const isText = request === undefined || request === null || typeof request === "string";
      this.#cookie = checkCookie((isText ? request : request.headers.get("cookie")) ?? null);
      if (isText) this.#request = undefined;
    }
    return this.#cookie;
  }

  #nextStep() {
    return (this.#order.step += 1);
  }

  /**
   * Collects the changes since the last call, only those of the keys in `only` if given. Returns the
   * number of the new step, which passes them to the core.
   */
  #changes(only) {
    const { hides, edits } = this.#known;
    if (!this.#values || ((hides || edits) && this.#logins === 0)) return this.#nextStep();
    const values = this.#values.changes(only);
    const flash = only ? undefined : this.#flash.changes();
    const number = this.#nextStep();
    if (values) this.#values.confirm(values, number);
    if (flash) this.#flash.confirm(flash, number);
    if (values || flash) this.#untold.push({ number, values, flash });
    return number;
  }

  /** As `#changes`, for a step that stores nothing. A save reports values that cannot be stored. */
  #changesToKeep() {
    try {
      return this.#changes();
    } catch {
      return this.#nextStep();
    }
  }

  /** The changes collected up to the step `number`, in the form that `apply` in src/face/js/wire.rs reads. */
  #due(number) {
    const texts = [];
    while (number && this.#untold[0]?.number <= number) texts.push(writtenChanges(this.#untold.shift()));
    return texts.length > 0 && !this.#known.edits ? texts.join("\n") : undefined;
  }

  /** Passes the changes to the core, unless steps are running. */
  #tell() {
    if (this.#order.steps > 0 || this.#isCommitted) return;
    const number = this.#changes();
    if (this.#untold.length > 0) this.#take(this.#begin({ op: "tell" }, number));
  }

  /** True if there are changes that were not collected yet. */
  get #isDirty() {
    return Boolean(this.#values?.changes() || this.#flash?.changes());
  }

  // --- the order of calls ----------------------------------------------------------------------

  /** Carries out an operation that needs no store, after the running steps. */
  #intend(operation) {
    this.#accessed = true;
    if (this.#isCommitted) throw committedError();
    const number = this.#changes();
    if (this.#order.steps === 0) {
      this.#step(operation, number);
      return;
    }
    this.#unsaved = operation.op !== "modified" || operation.value;
    const isLogin = operation.op === "bind";
    if (isLogin) this.#logins += 1;
    this.#foresee(operation);
    this.#after(() => {
      try {
        this.#step(operation, number);
      } catch (error) {
        this.#trouble ??= error;
      } finally {
        if (isLogin) this.#logins -= 1;
      }
    }, INTENT);
  }

  /** Anticipates the effect of a waiting operation, so that later calls see the session as if it had ended. */
  #foresee({ op, owner, keep }) {
    const { owner: bound, isNew } = this.#expected;
    const isOthers = (bound !== null && bound !== owner) || this.#details.outcome === "revoked";
    if (op === "bind" ? !keep || isOthers : op === "create" && (!isNew || bound !== null)) {
      this.#leave();
      this.#expect({ isNew: true });
    }
    if (op === "bind") this.#expect({ owner, isDestroyed: false });
    if (op === "create") this.#expect({ owner: null });
  }

  get #expected() {
    const { owner = null, isNew = false } = this.#details;
    return { owner, isNew, ...this.#ahead };
  }

  #expect(told) {
    this.#ahead = { ...this.#ahead, ...told };
  }

  /** Runs a step of the application after the previous ones. */
  #queue(step, kind) {
    this.#accessed = true;
    return this.#after(step, kind);
  }

  #after(step, kind) {
    return (this.#last = this.#begun(step, this.#last, kind));
  }

  async #begun(step, before, kind) {
    this.#order.steps += 1;
    try {
      if (this.#order.steps > 1) await before.then(nothing, nothing);
      // A logout is carried out even if something failed before.
      if (kind === undefined) this.#tellTrouble();
      const result = await step();
      if (ENDS.has(kind)) this.#tellTrouble();
      return result;
    } catch (error) {
      // If the next step is waiting already, nobody has waited for this one: the commit must not answer as if
      // the session had ended.
      if (ENDS.has(kind) && this.#order.steps > 1) this.#trouble ??= error;
      throw error;
    } finally {
      this.#ended();
    }
  }

  #ended() {
    this.#order.steps -= 1;
    if (this.#order.steps > 0) return;
    this.#ahead = undefined;
    this.#isEnding = false;
    // In a handler another step may follow, which uses the same timer.
    if (!this.#isHandled) this.#limit?.stop();
  }

  #tellTrouble() {
    const trouble = this.#trouble;
    this.#trouble = undefined;
    if (trouble) throw trouble;
  }

  /** As `#queue`, but without a promise if the step completes synchronously. */
  #soon(step) {
    return this.#order.steps > 0 || this.#trouble ? this.#queue(step) : this.#now(step);
  }

  #now(step) {
    const result = step();
    if (!(result instanceof Promise)) return result;
    this.#order.steps += 1;
    const ended = () => this.#ended();
    result.then(ended, ended); // runs before the caller's own handlers
    return (this.#last = result);
  }

  /** A step that ends the session, with all values except those of the keys in `kept`. */
  #end(operation, kept = new Set(), problem = undefined) {
    this.#accessed = true;
    let number;
    try {
      number = kept.size > 0 ? this.#changes(kept) : this.#nextStep();
    } catch (error) {
      problem ??= error; // thrown after the session has ended, which is more important
      number = this.#nextStep();
    }
    if (!this.#isCommitted) {
      this.#leave(kept);
      this.#expect({ owner: null, isNew: true, isDestroyed: operation.op === "destroy" });
      this.#isEnding = true;
    }
    return this.#after(async () => {
      if (this.#isCommitted) throw committedError();
      await this.#step(operation, number);
      if (problem) throw problem;
    }, END);
  }

  /** From now on, shows a new session with the values of the keys in `kept`. */
  #leave(kept) {
    this.#values?.leave(kept);
    this.#flash?.leave();
  }

  #load(fresh, number) {
    const { hides } = this.#known;
    if (this.#isCommitted || (hides?.code !== "not_loaded" && !fresh)) return undefined;
    if (!this.#handle && this.#readCookie() === null) return this.#loadNothing();
    return this.#step({ op: "load", fresh }, number);
  }

  /** Without a cookie there is nothing to load. */
  #loadNothing() {
    if (this.#known === this.#config.nothing) return;
    this.#config.counts.new += 1;
    this.#known = this.#config.nothing;
  }

  // --- for Sessions ----------------------------------------------------------------------------

  static {
    internals = {
      /**
       * Loads for a handler. Does not throw errors of the load or of an earlier step: the session
       * reports them when it is used. Does not count as access.
       */
      load(session, fresh = false) {
        const number = session.#changesToKeep();
        const step = () => session.#load(fresh, number);
        return session.#order.steps > 0 ? session.#after(step, LOAD) : session.#now(step);
      },

      /** Commits. Returns the Set-Cookie values, and whether the response depends on the session. */
      commit(session, status, context) {
        // The session was not used, so there is nothing to do.
        if (!session.#handle && session.#order.steps === 0 && !session.#accessed && !session.#isCommitted) {
          session.#isCommitted = session.#isReleased = true;
          return session.#committed();
        }
        return session.#soon(() => session.#commit(status, context ?? session.#context));
      },

      /** Resolves after the steps that are running or waiting. */
      async settled(session) {
        if (session.#order.steps > 0) await session.#last.then(nothing, nothing);
      },

      /** The headers for completed operations, if nothing is committed. */
      async done(session) {
        await internals.settled(session);
        if (session.#hasOldTiming && session.#handle !== undefined && !session.#isCommitted) {
          session.#take(session.#begin({ op: "look" }));
        }
        return session.#headers();
      },

      /** The headers of an inner response, before the commit: it must not be cached. */
      soFar: (session) => ({ cookies: [], depends: session.#accessed }),

      /** True if the session has the cookies of this request, or has not read any cookies yet. */
      isOf: (session, request) =>
        session.#cookie === undefined || session.#cookie === (request.headers?.get("cookie") ?? null),

      configOf: (session) => session.#config,

      lastError: (session) => session.#lastError,

      /** The core's number of the session whose handler starts another operation, if it can be determined. */
      counterOf(config, context) {
        const all = running(config).filter((session) => !context || session.#context === context);
        return all.length === 1 ? all[0].#counter() : undefined;
      },

      /**
       * The session whose handler asks something beside it: the one of this context, or the only running
       * one whose context is not known. Several of these cannot be told apart.
       */
      askedBeside(config, context) {
        const all = running(config);
        const own = context ? all.filter((session) => session.#context === context) : all;
        // Some frameworks do not pass the context that their handlers have.
        const unknown = all.filter((session) => !session.#context || session.#context[OF_NO_REQUEST]);
        const [session, ...others] = own.length > 0 ? own : unknown;
        return others.length === 0 ? session : undefined;
      },

      /** The response is made after the commit, and may use the session then. */
      expectUse(session) {
        session.#accessed ||= session.#readCookie() !== null;
      },

      /** From this error adapters learn why a framework has answered with 500. */
      noteBeside(session, error) {
        session.#lastError = error;
      },

      /** An inner handler of the same request may add its context. */
      join(session, context) {
        session.#context ??= context;
      },

      /** From here on its handlers are running, and the outermost commits. */
      enter(session) {
        session.#isHandled = true;
        const { handled } = session.#config;
        handled.add((session.#isHandledAs = new WeakRef(session)));
        // A request whose browser goes away never leaves.
        if (handled.size % SWEEP === 0) running(session.#config);
      },
      leave(session) {
        session.#isHandled = false;
        session.#config.handled.delete(session.#isHandledAs);
      },
      isHandled: (session) => session.#isHandled,

      /** Called when `load` or `open` returns it inside a handler: a commit is then left to the outermost handler. */
      handOut(session) {
        session.#isHandedOut = true;
        return session;
      },
      isLeftToHandler: (session) => session.#isHandled && session.#isHandedOut,

      drop(session) {
        session.#isToDrop = true;
      },
      isToDrop: (session) => session.#isToDrop,

      release: (session) => session.#release(),
      warnOf(session, message, ...more) {
        if (!session.#config.disableWarnings) warnOf(message, session.#config.instant(), ...more);
      },
      /** Warns if changes are lost although the response is a success. */
      warnOfDrop(session) {
        if (!session.#isToDrop || session.#isCommitted) return;
        let isChanged = session.#known.modified === true || session.#untold.length > 0;
        try {
          isChanged ||= session.#isDirty;
        } catch {
          isChanged = true; // the new value cannot be stored
        }
        if (!isChanged) return;
        internals.warnOf(session, "changes to a session were dropped because an inner handler of the same request failed");
      },
      warn: (session, message, ...more) => {
        if (!session.#config.disableWarnings) console.warn(`edge-session: ${message}`, ...more);
      },
    };
  }

  #commit(status, context) {
    if (this.#isCommitted && this.#hasFailedCommit && status >= 500) return this.#headers();
    if (this.#isCommitted) throw committedError();
    let number;
    let problem;
    try {
      number = this.#changes();
    } catch (error) {
      if (status < 500) problem = error; // then nothing is put
    }
    const { hides, edits, hasWork, timing } = this.#known;
    this.#watching = status < 500 && !problem && !hides && !edits && this.#values?.isShared === true;
    const isTimed = this.#config.serverTiming && this.#accessed && (timing === undefined || this.#hasOldTiming);
    const isDone = this.#untold.length === 0 && !problem && !isTimed && !(hasWork && status < 500);
    let step;
    this.#hasFailedCommit = true;
    if (!isDone) step = this.#step({ op: "commit", status: problem ? 500 : status }, number, context);
    // This was the last step, whatever its result.
    this.#isCommitted = true;
    const end = () => {
      if (problem) throw problem;
      this.#hasFailedCommit = false;
      return this.#committed();
    };
    return step instanceof Promise ? step.then(end) : end();
  }

  #headers() {
    const { cookies = [], timing } = this.#known;
    return { cookies, depends: this.#accessed || cookies.length > 0, timing };
  }

  #committed() {
    const headers = this.#headers();
    this.#isUnmarked = !headers.depends;
    return headers;
  }

  /** Releases the core's part. Everything that can still be read is in JavaScript. */
  #release() {
    if (!this.#isCommitted) this.#committed();
    this.#isCommitted = true;
    this.#request = undefined;
    // A running step that was not awaited still needs it. It is then released with the session.
    if (this.#order.steps > 0) return;
    this.#isReleased = true;
    this.#limit?.stop();
    if (this.#handle !== undefined) {
      unwatch(this);
      release(this.#handle);
      this.#handle = undefined;
    }
    if (this.#watching && !this.#config.disableWarnings) this.#watch();
    else this.#watching = false;
  }

  /** Warns about changes after the commit, in values that were returned before it. */
  #watch() {
    const look = () => {
      if (this.#watching && this.#values.hasDrifted) {
        this.#watching = false;
        console.warn(
          "edge-session: session data was changed after the session was committed with the response, " +
            "and the change is lost: make changes before the commit",
        );
      }
    };
    this.#watching = look;
    // For responses that are still being streamed. The timer ends with the request.
    setTimeout(look, LATE)?.unref?.();
  }
}

/** At each multiple of this many running handlers, those that have been stopped are looked for. */
const SWEEP = 256;

/** The sessions whose handlers are running. The runtime may stop a handler without telling it. */
function running({ handled }) {
  const all = [];
  for (const ref of handled) {
    const session = ref.deref();
    if (session) all.push(session);
    else handled.delete(ref);
  }
  return all;
}

/** Milliseconds after a commit when its data is checked again. */
const LATE = 1000;

const nothing = () => {};

/** Special steps: an operation that needs no store, the end of this session or of another, and a load for a handler. */
const INTENT = Symbol("intent");
const END = Symbol("end");
const OTHER_END = Symbol("other end");
const LOAD = Symbol("load");
const ENDS = new Set([END, OTHER_END]);

/** Operations after which the data may belong to another session. */
const BEGINS_ANEW = new Set(["create", "bind", "destroy", "flush", "delete"]);

/** The changes of both tables that were collected together, as text for the core. */
function writtenChanges({ values, flash }) {
  const head = {};
  const lines = [];
  const put = (name, keys) => {
    if (keys?.length > 0) head[name] = keys;
  };
  const set = (name, changes) => {
    if (!changes) return;
    // A nested change in a value of an ended session does not belong to the next session.
    const sets = changes.sets.filter(({ row, isSet }) => isSet || !row.isOver);
    put(name, sets.map(({ key }) => key));
    for (const { text } of sets) lines.push(text);
  };
  if (values?.isCleared || flash?.isCleared) head.clear = true;
  put("remove", values?.removed);
  put("take", flash?.removed);
  set("set", values);
  set("flash", flash);
  return [JSON.stringify(head), ...lines].join("\n");
}

/** Keys, values and their texts, as `Table.put` takes them. Throws if one of the values is refused. */
const writeAll = (table, pairs) =>
  pairs.filter(([, value]) => value !== undefined).map(([key, value]) => [key, value, table.write(key, value)]);

/** A session key, or an empty string, which the core refuses. */
const keyOf = (key) => (typeof key === "string" ? key : "");

/** The data of a request that a save needs. A request with an unknown method may come from a form. */
function headOf({ method = "unknown", headers, cf }) {
  const country = cf?.country;
  return {
    method,
    site: headers.get("sec-fetch-site") ?? undefined,
    userAgent: headers.get("user-agent") ?? undefined,
    country: typeof country === "string" ? country : undefined,
  };
}

function checkCookie(cookie) {
  if (cookie === null || typeof cookie === "string") return cookie;
  throw sessionError("invalid_value", "the Cookie header must be a string; leave it out for none");
}

/** A view of a committed session: reading works, changes throw. */
function late(value) {
  if (typeof value !== "object" || value === null) return value;
  const refuse = () => {
    throw committedError();
  };
  // Use a copy, because a proxy of a frozen object must return the same values as the object. The copy
  // has own members, even one named "__proto__", which an assignment would take for the prototype.
  const copy = Array.isArray(value) ? [...value] : { __proto__: Object.getPrototypeOf(value), ...value };
  return new Proxy(copy, {
    get: (target, key, receiver) => late(Reflect.get(target, key, receiver)),
    set: refuse,
    deleteProperty: refuse,
    defineProperty: refuse,
    setPrototypeOf: refuse,
  });
}

/** An expiry in the form that `expiry` in src/face/js/handle.rs reads. Throws if it is invalid. */
function readExpiry(expiry) {
  if (expiry === null || expiry === undefined) return {};
  if (typeof expiry !== "object" || expiry instanceof Date) {
    return readEnd(expiry, "an expiry", ", an object with end, idle and browserClose, or null for the default of the settings");
  }
  const unknown = Object.keys(expiry).find((name) => !EXPIRY_MEMBERS.includes(name));
  if (unknown !== undefined) throw invalid(`unknown member ${JSON.stringify(unknown)} in the expiry; use end, idle and browserClose`);
  // Probably a variable is undefined by mistake.
  if (EXPIRY_MEMBERS.every((name) => expiry[name] === undefined)) {
    throw invalid("the expiry is empty; set end, idle or browserClose, or pass null for the default of the settings");
  }
  const { end, idle, browserClose } = expiry;
  const said = end === null || end === undefined ? {} : readEnd(end, "end");
  if (idle !== undefined) {
    const isIdle = idle === null || (isNumber(idle) && idle >= 0);
    if (!isIdle) throw invalid(`idle must be a number of seconds, 0 or more, or null for no limit, not ${shown(idle)}`);
    said.idle = thousandths(idle ?? 0);
  }
  if (browserClose !== undefined) {
    if (typeof browserClose !== "boolean") throw invalid(`browserClose must be true or false, not ${shown(browserClose)}`);
    if (!browserClose && said.after === 0) {
      throw invalid("end: 0 means at browser close and contradicts browserClose: false; leave one of them out");
    }
    said.browserClose = browserClose;
  }
  return said;
}

const EXPIRY_MEMBERS = ["end", "idle", "browserClose"];

function readEnd(end, name, others = "") {
  if (isNumber(end)) return { after: thousandths(end) };
  if (end instanceof Date && !Number.isNaN(end.getTime())) return { at: end.getTime() };
  const wrong = end instanceof Date ? "an invalid Date" : shown(end);
  throw invalid(`${name} must be a number of seconds${others === "" ? " or" : ","} a Date${others}, not ${wrong}`);
}

/** Milliseconds, rounded away from 0. The core rounds to seconds, so that no fraction becomes 0. */
function thousandths(seconds) {
  const most = Number.MAX_SAFE_INTEGER;
  const exact = seconds * 1000;
  return Math.min(Math.max(exact < 0 ? Math.floor(exact) : Math.ceil(exact), -most), most);
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

const invalid = (message) => sessionError("invalid_value", message);

/** A value for an error message. Only its type, unless it is a number, because it may be a secret. */
const shown = (value) => (typeof value === "number" || value === undefined ? String(value) : `a ${typeof value}`);

const date = (milliseconds) => (milliseconds === undefined ? null : new Date(milliseconds));

const missing = (key) => sessionError("missing_key", `the session has no key ${JSON.stringify(key)}`);

const notLoaded = () =>
  sessionError(
    "not_loaded",
    "the session was not loaded; call load() first, or use handle() instead of handleLazy()",
  );

const destroyed = () => sessionError("destroyed", "the session was destroyed earlier in this request");

const busy = (method) =>
  sessionError("unavailable", `${method}() cannot answer while another step of this session is under way`);
