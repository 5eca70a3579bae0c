// SessionStore: a dictionary with a life cycle.
//
// The dictionary is here; the rules are in the core (`src/`), which is asked once for each step and
// tells what is known of the session with each answer. Calls follow each other in their order, so
// that concurrent calls on one session are fine.

import { begin, dice, newSessionId, release, unwatch, watch } from "./core.js";
import { drive, hear } from "./driver.js";
import { checkOwner, fromCore, isRefusal, sessionError, warnOf } from "./errors.js";
import { Table, entriesOf } from "./values.js";
import { realmOf, sinkOf, toConsole } from "./realm.js";

/** Says that a session is opened by `Sessions`. */
export const BY_SESSIONS = Symbol("sessions");

const committedError = () =>
  sessionError("committed", "the session was already committed with the response; make changes before the commit");

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
  /** The core's number for this session, which has one when it is needed: a visitor without a cookie costs none. */
  #handle;
  /** What the core has told of the session last: `session` of src/face/js/wire.rs. */
  #known;
  /** What the store has thrown. */
  #causes = [];
  /** True when this side has nothing left to do: what is read is what was known. */
  #isCommitted = false;
  #isReleased = false;
  #refusal;
  /** The last error that was thrown for what a request may do, not for how the application is written. */
  #lastError;
  #accessed = false;
  #values;
  #flash;
  /** True where something was to be changed since the core was told of changes. */
  #edited = false;
  /** Changes that the core is told of with the next step, each with the number of the step that was called then. */
  #untold = [];
  /** The number of the last step that was called; and how many are under way, or wait for another. */
  #order = { step: 0, steps: 0 };
  /** The last of them. */
  #last;
  /** While steps are under way: true where something was decided since a save was called. */
  #unsaved = false;
  /** And what the session is going to be after all of them: whose, and whether it is stored then. */
  #ahead;
  /** Logins that wait for a step: what comes after them is about the session that they begin. */
  #logins = 0;
  /** Why an intent failed that came while a step was under way: the next step says so. */
  #trouble;
  /** Looks for changes after the commit; true where there is something to look at. */
  #watching = false;
  /** True while handlers of its request have it under way: the outermost of them commits it. */
  #isHandled = false;
  /** True where more was counted for this request than its timing tells. */
  #hasOldTiming = false;
  /** True where one of them got it by its request, as a session that is its own to commit. */
  #isHandedOut = false;
  /** True where one of them says that its changes are to be dropped. */
  #isToDrop = false;

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
    this.#known = this.#realm.unopened;
  }

  /** A random id of 256 bits in base64url, tied to no session. */
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

  /** All values as one live object; changes in it, nested ones too, are noticed at the next save. */
  get data() {
    const view = this.#read().view();
    return this.#isCommitted ? late(view) : view;
  }

  set data(values) {
    if (typeof values !== "object" || values === null || Array.isArray(values)) {
      throw sessionError("invalid_value", "data must be an object of keys and values");
    }
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
    const written = writeAll(table, typeof values?.[Symbol.iterator] === "function" ? [...values] : entriesOf(values));
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
    // A copy, which is the session's own: what becomes of `value` is nothing to it.
    return this.set(key, value).get(key);
  }

  /** Leaves a value that is read once, by a later request as a rule. */
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

  // --- what is known of the session ------------------------------------------------------------

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
    return this.#known.owner ?? null;
  }

  get authTime() {
    this.#read();
    return date(this.#known.authTime);
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

  /** The last refusal of this session, if there was one. */
  get refusal() {
    this.#accessed = true;
    return this.#refusal;
  }

  requireRecentAuth(maxAge) {
    if (!isNumber(maxAge) || maxAge < 0) {
      throw sessionError("invalid_value", `requireRecentAuth needs a number of seconds, not ${shown(maxAge)}`);
    }
    const at = this.authTime;
    if (at === null || this.#realm.now() - at.getTime() > maxAge * 1000) {
      throw this.#noted(sessionError("reauth_required", `this operation needs a login within the last ${maxAge} seconds`));
    }
  }

  get modified() {
    this.#tell();
    // What this request has changed, by calls that are looks themselves.
    return this.#order.steps > 0 ? this.#unsaved || this.#isDirty : this.#known.modified === true;
  }

  set modified(modified) {
    this.#intend({ op: "modified", value: Boolean(modified) });
  }

  /** True where a commit would write to the store or set a cookie. */
  needsUpdate() {
    this.#accessed = true;
    this.#tell();
    return (this.#known.needsUpdate === true || (this.#order.steps > 0 && this.modified)) && !this.#isCommitted;
  }

  getExpiryAge() {
    const left = (this.getExpiryDate().getTime() - this.#realm.now()) / 1000;
    // A fraction counts as a second: only an end that is reached is 0 or less.
    return left > 0 ? Math.ceil(left) : Math.floor(left);
  }

  getExpiryDate() {
    this.#read();
    return new Date(this.#ends().end);
  }

  setExpiry(expiry) {
    const said = readExpiry(expiry);
    this.#read();
    this.#intend({ op: "expiry", ...said });
  }

  csrfToken() {
    return this.#form("csrfToken", { op: "csrf" });
  }

  verifyCsrf(token) {
    // What is not text is not a token: it is refused as a wrong one is.
    this.#form("verifyCsrf", { op: "verify", token: typeof token === "string" ? token : "" });
  }

  /** What is about a form, which can be shown and sent though the session itself cannot be read. */
  #form(method, operation) {
    this.#accessed = true;
    const { hides } = this.#known;
    if (!this.#isCommitted && hides?.code === "not_loaded") throw this.#refused(hides);
    if (this.#order.steps > 1) throw busy(method);
    return this.#take(this.#begin(operation));
  }

  // --- intents ---------------------------------------------------------------------------------

  /** Begins a new session: new token, lineage and key; nothing is written before the commit. */
  create() {
    this.#intend({ op: "create" });
  }

  /** Gives the session a new token and key; lineage and data stay. */
  cycleKey() {
    this.#intend({ op: "cycle" });
  }

  /** The user has proved again who they are: a new key and login time; the rest stays. */
  reauthenticate() {
    this.#intend({ op: "reauthenticate" });
  }

  /** Login: binds the session to a user, under a new lineage. */
  bind(owner, { keep = true } = {}) {
    this.#intend({ op: "bind", owner: checkOwner(owner), keep: Boolean(keep) });
  }

  // --- steps -----------------------------------------------------------------------------------

  /** Loads the session; tells what it found. */
  load({ fresh = false } = {}) {
    const number = this.#changesToKeep();
    return this.#queue(async () => {
      await this.#load(fresh, number);
      this.#checkLoad();
      return this.#facts().outcome;
    });
  }

  /** Saves what has changed now, rather than with the commit. */
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

  /** Logout: ends the session now, wherever it is used. */
  destroy() {
    return this.#end({ op: "destroy" });
  }

  /** Logout that goes on anonymously, with the values of the keys in `keep`. */
  flush({ keep = [] } = {}) {
    const kept = [...keep].map(String);
    return this.#end({ op: "flush", keep: kept }, new Set(kept));
  }

  /** True where a session is there and alive: this one, or that of a session key. */
  exists(key) {
    const number = this.#changesToKeep();
    return this.#queue(async () => {
      if (key !== undefined) return this.#aside({ op: "exists", key: keyOf(key) });
      await this.#load(false, number);
      this.#checkLoad();
      return this.#facts().isStored === true;
    });
  }

  /** Ends a session at once: this one, or that of a session key. */
  delete(key) {
    if (key === undefined) return this.destroy();
    const text = keyOf(key);
    const number = this.#nextStep();
    return this.#queue(async () => {
      if (this.#handle) return void (await this.#step({ op: "delete", key: text }, number));
      if (text !== "" && text === this.#known.sessionKey) throw committedError();
      await this.#aside({ op: "deleteOther", key: text });
    });
  }

  // --- what it looks like ----------------------------------------------------------------------

  /** The data only. */
  toJSON() {
    return this.#read().view();
  }

  toString() {
    this.#accessed = true;
    const { sessionKey = "no key", outcome = "not loaded" } = this.#known;
    return `SessionStore(${sessionKey}, ${outcome})`;
  }

  get [Symbol.toStringTag]() {
    return "SessionStore";
  }

  [Symbol.for("nodejs.util.inspect.custom")](_depth, options, inspect) {
    const shown = this.#known.hides ? {} : this.#tables().view();
    return inspect ? `${this} ${inspect({ ...shown }, options)}` : this.toString();
  }

  // --- the doors -------------------------------------------------------------------------------

  #mayRead() {
    const { hides } = this.#known;
    // Committed without a load: empty, as a new session is.
    if (hides && this.#logins === 0 && !(this.#isCommitted && hides.code === "not_loaded")) throw this.#refused(hides);
  }

  /** Why the load cannot be trusted, if so. */
  #checkLoad() {
    const { hides } = this.#known;
    if (hides && hides.code !== "not_loaded") throw this.#refused(hides);
  }

  #read() {
    this.#accessed = true;
    this.#mayRead();
    if (this.#watching && this.#isReleased) this.#watching();
    return this.#tables();
  }

  #edit() {
    const table = this.#read();
    if (this.#isCommitted) throw committedError();
    if (this.#known.edits && this.#logins === 0) throw this.#refused(this.#known.edits);
    this.#edited = true;
    return table;
  }

  #tables() {
    this.#values ??= new Table(this.#realm, this.#order);
    this.#flash ??= new Table(this.#realm, this.#order);
    return this.#values;
  }

  /** An error that the core has told. */
  #refused(told) {
    return this.#noted(told.code === "not_loaded" ? notLoaded() : fromCore(told, this.#causes));
  }

  #noted(error) {
    this.#lastError = error;
    if (isRefusal(error)) this.#refusal = error;
    return error;
  }

  /** What is known since the load, for the application: an answer that is made of it is for this browser only. */
  #facts() {
    this.#accessed = true;
    if (this.#known.outcome === undefined) throw notLoaded();
    return this.#known;
  }

  /** When the session ends, as it is known now. */
  #ends() {
    if (this.#handle && !this.#isCommitted) this.#take(this.#begin({ op: "look" }));
    const { nothing, unopened } = this.#realm;
    return this.#known === nothing || this.#known === unopened ? this.#realm.nobody() : this.#known;
  }

  // --- the core --------------------------------------------------------------------------------

  /** Begins an operation of the core, which is told what had changed before the step `number` was called. */
  #begin(operation, number) {
    if (this.#isCommitted) throw committedError();
    const realm = this.#realm;
    const now = realm.now();
    const isFirst = this.#handle === undefined;
    const isLoad = operation.op === "load";
    let cookie;
    if (isFirst) {
      cookie = this.#readCookie() ?? undefined;
      if (this.#listener) operation.reports = true;
      // Without a cookie nothing was there to load, and nothing was asked.
      if (this.#known === realm.nothing) {
        operation.loaded = true;
        realm.counts.new -= 1; // the core counts it now
      }
    }
    // What a save reads of the request, which a load does not.
    if (!isLoad && this.#request) operation.request = headOf(this.#request);
    const changes = this.#due(number);
    const random = isLoad ? undefined : dice();
    const told = begin(realm.core, this.#handle ?? 0, operation, cookie, changes, now, random);
    if (!isLoad) this.#request = undefined;
    if (told.handle !== undefined) watch(this, (this.#handle = told.handle));
    return hear(told, { sink: this.#listener });
  }

  get #listener() {
    return this.#sink ?? (this.#realm.events ? toConsole : undefined);
  }

  /** A step of the core: what it came to, or the promise of that where the store has to be asked. */
  #step(operation, number, context = this.#context) {
    const isAnother = BEGINS_ANEW.has(operation.op);
    const told = this.#begin(operation, number);
    if (!told.ask) return this.#take(told, number, isAnother);
    const world = {
      realm: this.#realm,
      context,
      sink: this.#listener,
      causes: this.#causes,
      mints: operation.op !== "load",
    };
    return drive(told, this.#handle ?? told.handle, world).then((told) => this.#take(told, number, isAnother));
  }

  /** Asks about another session, without touching this one. */
  async #aside(operation) {
    try {
      return await this.#realm.ask(operation, this.#context, this.#counter());
    } catch (error) {
      throw this.#noted(error);
    }
  }

  /** The core's number for what is asked beside this session and counts for its request; undefined where none does. */
  #counter() {
    if (!this.#realm.serverTiming || this.#isCommitted) return undefined;
    if (this.#handle === undefined) this.#take(this.#begin({ op: "tell" }));
    this.#hasOldTiming = true;
    return this.#handle;
  }

  /** Takes over what the core told when the step `number` was done. */
  #take({ session, data, lines = [], error, done, isOver }, number, isAnother) {
    if (session) this.#known = session;
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

  #nextStep() {
    return (this.#order.step += 1);
  }

  /**
   * Notes the changes since they were noted last, of `only` these values if given. Gives the number
   * of the step that is called now, which the core is told them with.
   */
  #changes(only) {
    const { hides, edits } = this.#known;
    if (!this.#values || ((hides || edits) && this.#logins === 0)) return this.#nextStep();
    const values = this.#values.changes(only);
    const flash = only ? undefined : this.#flash.changes();
    const number = this.#nextStep();
    if (values) this.#values.confirm(values, number);
    if (flash) this.#flash.confirm(flash, number);
    // To have changed nothing is a change only of what was to be left unsaved.
    const counts = this.#edited && (this.#known.isLeftUnsaved || this.#order.steps > 0);
    this.#edited = false;
    if (values || flash || counts) this.#untold.push({ number, values, flash });
    return number;
  }

  /** The same for a step that stores nothing: what cannot be stored is told by a save. */
  #changesToKeep() {
    try {
      return this.#changes();
    } catch {
      return this.#nextStep();
    }
  }

  /** The changes that were noted up to the step `number`, as `apply` in src/face/js/wire.rs reads them. */
  #due(number) {
    const texts = [];
    while (number && this.#untold[0]?.number <= number) texts.push(writtenChanges(this.#untold.shift()));
    return texts.length > 0 && !this.#known.edits ? texts.join("\n") : undefined;
  }

  /** Tells the core what has changed, where it can be told now. */
  #tell() {
    if (this.#order.steps > 0 || this.#isCommitted) return;
    const number = this.#changes();
    if (this.#untold.length > 0) this.#take(this.#begin({ op: "tell" }, number));
  }

  /** True where something has changed of which no step was told. */
  get #isDirty() {
    return Boolean(this.#values?.changes() || this.#flash?.changes());
  }

  // --- one call after the other ----------------------------------------------------------------

  /** Carries out what the core decides at once; after the steps under way, if there are any. */
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

  /** What comes next finds what it would find if the steps before it had ended. */
  #foresee({ op, owner, keep }) {
    const { owner: bound, isNew } = this.#expected;
    const isOthers = (bound !== null && bound !== owner) || this.#known.outcome === "revoked";
    if (op === "bind" ? !keep || isOthers : op === "create" && !isNew) {
      this.#leave();
      this.#expect({ isNew: true });
    }
    if (op === "bind") this.#expect({ owner });
    if (op === "create") this.#expect({ owner: null });
  }

  get #expected() {
    const { owner = null, isNew = false } = this.#known;
    return this.#ahead ?? { owner, isNew };
  }

  #expect(told) {
    this.#ahead = { ...this.#expected, ...told };
  }

  /** A step of the application's, when those before it have ended. */
  #queue(step) {
    this.#accessed = true;
    return this.#after(step);
  }

  #after(step, kind) {
    return (this.#last = this.#begun(step, this.#last, kind));
  }

  async #begun(step, before, kind) {
    this.#order.steps += 1;
    try {
      if (this.#order.steps > 1) await before.then(nothing, nothing);
      // A session is ended whatever has failed before.
      if (kind === undefined) this.#tellTrouble();
      const result = await step();
      if (kind === END) this.#tellTrouble();
      return result;
    } finally {
      this.#ended();
    }
  }

  #ended() {
    this.#order.steps -= 1;
    if (this.#order.steps === 0) this.#ahead = undefined;
  }

  #tellTrouble() {
    const trouble = this.#trouble;
    this.#trouble = undefined;
    if (trouble) throw trouble;
  }

  /** The same for a step that may be done at once; then there is no promise. */
  #soon(step) {
    return this.#order.steps > 0 || this.#trouble ? this.#queue(step) : this.#now(step);
  }

  #now(step) {
    const result = step();
    if (!(result instanceof Promise)) return result;
    this.#order.steps += 1;
    const ended = () => this.#ended();
    result.then(ended, ended); // before anybody else hears of it
    return (this.#last = result);
  }

  /** A step that ends the session. What was set before it, and is not `kept`, ends with it. */
  #end(operation, kept = new Set()) {
    this.#accessed = true;
    let number;
    let problem;
    try {
      number = kept.size > 0 ? this.#changes(kept) : this.#nextStep();
    } catch (error) {
      problem = error; // told when the session has ended, which comes first
      number = this.#nextStep();
    }
    if (!this.#isCommitted) {
      this.#leave(kept);
      this.#expect({ owner: null, isNew: true });
    }
    return this.#after(async () => {
      if (this.#isCommitted) throw committedError();
      await this.#step(operation, number);
      if (problem) throw problem;
    }, END);
  }

  /** What is shown from now on, where the session begins anew with the values of the keys in `kept`. */
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

  /** There is nothing to load where no cookie came. */
  #loadNothing() {
    if (this.#known === this.#realm.nothing) return;
    this.#realm.counts.new += 1;
    this.#known = this.#realm.nothing;
  }

  // --- for Sessions ----------------------------------------------------------------------------

  static {
    internals = {
      /**
       * Loads without a word about what was found, nor about a step that has failed before: that is
       * the session's to tell. Nobody has looked at it by that.
       */
      load(session, fresh = false) {
        const number = session.#changesToKeep();
        const step = () => session.#load(fresh, number);
        return session.#order.steps > 0 ? session.#after(step, LOAD) : session.#now(step);
      },

      /** Commits: the Set-Cookie values, and whether the answer depends on the session. */
      commit(session, status, context) {
        // Nobody looked at it: there is nothing to decide.
        if (!session.#handle && session.#order.steps === 0 && !session.#accessed && !session.#isCommitted) {
          session.#isCommitted = session.#isReleased = true;
          return session.#headers();
        }
        return session.#soon(() => session.#commit(status, context ?? session.#context));
      },

      /** The headers for what was done already, where nothing is committed. */
      async done(session) {
        if (session.#order.steps > 0) await session.#last.then(nothing, nothing);
        if (session.#hasOldTiming && session.#handle !== undefined && !session.#isCommitted) {
          session.#take(session.#begin({ op: "look" }));
        }
        return session.#headers();
      },

      /** What an answer needs that is made of the session before that is committed: it is not to be cached. */
      soFar: (session) => ({ cookies: [], depends: session.#accessed }),

      /** True for a session that this request presents. One that nobody has looked at yet is. */
      isOf: (session, request) =>
        session.#cookie === undefined || session.#cookie === (request.headers?.get("cookie") ?? null),

      realmOf: (session) => session.#realm,

      lastError: (session) => session.#lastError,

      /** The number in the core of the session whose handler asks for something beside it, as far as that can be told. */
      counterOf(realm, context) {
        const all = [...realm.handled].filter((session) => !context || session.#context === context);
        return all.length === 1 ? all[0].#counter() : undefined;
      },

      /** An inner handler of the same request brings its context along. */
      join(session, context) {
        session.#context ??= context;
      },

      /** From here on its handlers have it, and the outermost commits. */
      enter(session) {
        session.#isHandled = true;
        if (session.#realm.serverTiming) session.#realm.handled.add(session);
      },
      leave(session) {
        session.#isHandled = false;
        session.#realm.handled.delete(session);
      },
      isHandled: (session) => session.#isHandled,

      /** Who gets it by its request commits it too, which is left to the outermost handler then. */
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
        if (!session.#realm.disableWarnings) warnOf(message, session.#realm.instant(), ...more);
      },
      /** Changes are lost though the answer says that all went well. */
      warnOfDrop(session) {
        if (!session.#isToDrop || session.#isCommitted) return;
        let isChanged = session.#known.modified === true || session.#untold.length > 0;
        try {
          isChanged ||= session.#isDirty;
        } catch {
          isChanged = true; // to what cannot be stored
        }
        if (!isChanged) return;
        internals.warnOf(session, "changes to a session were dropped because an inner handler of the same request failed");
      },
      warn: (session, message, ...more) => {
        if (!session.#realm.disableWarnings) console.warn(`edge-session: ${message}`, ...more);
      },
    };
  }

  #commit(status, context) {
    if (this.#isCommitted) throw committedError();
    let number;
    let problem;
    try {
      number = this.#changes();
    } catch (error) {
      if (status < 500) problem = error; // nothing is put then
    }
    const { hides, edits, hasWork, timing } = this.#known;
    this.#watching = status < 500 && !problem && !hides && !edits && this.#values?.isShared === true;
    const isTimed = this.#realm.serverTiming && this.#accessed && (timing === undefined || this.#hasOldTiming);
    const isDone = this.#untold.length === 0 && !problem && !isTimed && !(hasWork && status < 500);
    let step;
    if (!isDone) step = this.#step({ op: "commit", status: problem ? 500 : status }, number, context);
    // Whatever comes of it, it was the last step.
    this.#isCommitted = true;
    const end = () => {
      if (problem) throw problem;
      return this.#headers();
    };
    return step instanceof Promise ? step.then(end) : end();
  }

  #headers() {
    const { cookies = [], timing } = this.#known;
    return { cookies, depends: this.#accessed || cookies.length > 0, timing };
  }

  /** Lets go of the core's part: what can still be read is here. */
  #release() {
    this.#isCommitted = true;
    // A step that nobody waited for needs it still; it goes with the session then.
    if (this.#order.steps > 0) return;
    this.#isReleased = true;
    if (this.#handle !== undefined) {
      unwatch(this);
      release(this.#handle);
      this.#handle = undefined;
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
            "and the change is lost: make changes before the commit",
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

/** Steps of their own kinds: what the core decides at once, what ends the session, and a load for a handler. */
const INTENT = Symbol("intent");
const END = Symbol("end");
const LOAD = Symbol("load");

/** Operations after which the data may be that of another session. */
const BEGINS_ANEW = new Set(["create", "bind", "destroy", "flush", "delete"]);

/** The changes of both tables that were noted together, for the core. */
function writtenChanges({ values, flash }) {
  const head = {};
  const texts = [];
  // A change from within a value that went with its session meanwhile is none of the next.
  const sets = (changes) => (changes?.sets ?? []).filter(({ row, isSet }) => isSet || !row.isOver);
  const put = (name, keys) => {
    if (keys?.length > 0) head[name] = keys;
  };
  if (values?.isCleared || flash?.isCleared) head.clear = true;
  put("remove", values?.removed);
  put("take", flash?.removed);
  for (const [name, changes] of [["set", values], ["flash", flash]]) {
    const all = sets(changes);
    put(name, all.map(({ key }) => key));
    texts.push(...all.map(({ text }) => text));
  }
  return [JSON.stringify(head), ...texts].join("\n");
}

/** Keys, values and their texts, as `Table.put` takes them: all of them, or the error of the first that is refused. */
const writeAll = (table, pairs) =>
  pairs.filter(([, value]) => value !== undefined).map(([key, value]) => [key, value, table.write(key, value)]);

/** A session key, or what is none: the core's to say. */
const keyOf = (key) => (typeof key === "string" ? key : "");

/** What a save reads of a request. One whose method is not known may be a form's. */
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

/** The view of a committed session: reading is allowed, a change is the error. */
function late(value) {
  if (typeof value !== "object" || value === null) return value;
  const refuse = () => {
    throw committedError();
  };
  // Over a copy: a proxy of something frozen may not answer otherwise than that.
  // The members are its own, one named "__proto__" too: to assign that would set the prototype.
  const copy = Array.isArray(value) ? [...value] : { __proto__: Object.getPrototypeOf(value), ...value };
  return new Proxy(copy, {
    get: (target, key, receiver) => late(Reflect.get(target, key, receiver)),
    set: refuse,
    deleteProperty: refuse,
    defineProperty: refuse,
    setPrototypeOf: refuse,
  });
}

/** An expiry as `expiry` of src/face/js/handle.rs reads it; or the error that says what is wrong with it. */
function readExpiry(expiry) {
  if (expiry === null || expiry === undefined) return {};
  if (typeof expiry !== "object" || expiry instanceof Date) {
    return readEnd(expiry, "an expiry", ", an object with end, idle and browserClose, or null for the default of the settings");
  }
  const unknown = Object.keys(expiry).find((name) => !EXPIRY_MEMBERS.includes(name));
  if (unknown !== undefined) throw invalid(`unknown member ${JSON.stringify(unknown)} in the expiry; use end, idle and browserClose`);
  // Most likely something that was to be there is undefined.
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

/** Thousandths of a second, away from 0: the core rounds to seconds, so that no fraction becomes none. */
function thousandths(seconds) {
  const most = Number.MAX_SAFE_INTEGER;
  const exact = seconds * 1000;
  return Math.min(Math.max(exact < 0 ? Math.floor(exact) : Math.ceil(exact), -most), most);
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

const invalid = (message) => sessionError("invalid_value", message);

/** A value in an error: its type where it is not a number, since it may be a secret. */
const shown = (value) => (typeof value === "number" || value === undefined ? String(value) : `a ${typeof value}`);

const date = (milliseconds) => (milliseconds === undefined ? null : new Date(milliseconds));

const missing = (key) => sessionError("missing_key", `the session has no key ${JSON.stringify(key)}`);

const notLoaded = () =>
  sessionError(
    "not_loaded",
    "the session was not loaded; call load() first, or use handle() instead of handleLazy()",
  );

const busy = (method) =>
  sessionError("unavailable", `${method}() cannot answer while a save or load of this session is under way`);
