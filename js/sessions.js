// Sessions of a Worker: how they are opened, loaded and committed.

import { keepsCacheControl, vary } from "./core.js";
import { SessionError, checkOwner, isRefusal, sessionError, sessionErrorIn } from "./errors.js";
import { checkOptions, realmOf, realmOfEnv, sinkOf } from "./realm.js";
import { BY_SESSIONS, SessionStore, internals } from "./session-store.js";

const BY_REALM = Symbol("realm");

/** By request: the sessions that handlers have under way for it, until they are committed. */
const underWay = new WeakMap();

/** Whether it was warned of two sessions that set one cookie. */
let wasWarned = false;

/**
 * Where the adapters of this package find what is not public. They import its public entry alone, so
 * that there is one copy of everything however it is bundled.
 */
const ADAPTER = Symbol.for("edge-session.adapter");

/** What `handle` makes of an error that is its own: `put` puts the session's headers on a response. */
const toProblem = (error, put) => put(error.toResponse());

/** The sessions of a Worker: a KV namespace or a connector, secrets and settings. */
export class Sessions {
  #realm;
  /** What each session is opened with. */
  #opening;

  constructor(connector, options, onEvent) {
    const isRealm = connector === BY_REALM;
    this.#realm = isRealm ? options : realmOf(connector, options);
    this.#opening = { realm: this.#realm, sink: sinkOf(isRealm ? onEvent : options.onEvent) };
  }

  /** Sessions as the environment says: KV binding SESSIONS, SESSION_SECRET, variables SESSION_…. */
  static fromEnv(env, options = {}) {
    checkOptions(options, ["onEvent"], "Sessions.fromEnv", "set settings as variables, or pass them to new Sessions");
    return new this(BY_REALM, realmOfEnv(env), options.onEvent);
  }

  /** What this isolate has counted of the sessions on this connector. */
  get stats() {
    return this.#realm.stats();
  }

  /** D: seconds after which a revoked session is dead everywhere, if propagation is as assumed. */
  get stalenessBound() {
    return this.#realm.stalenessBound;
  }

  /**
   * Loads the session of `request`, runs `handler` whatever was found, and commits. Inside another
   * handler of the same request it is that one's session, and the outermost commits. Its answer
   * decides, so that an inner one has to be awaited.
   */
  handle(request, ctx, handler) {
    return this.#run(request, ctx, handler);
  }

  /** As `handle`, with a session that is not loaded: untouched, it costs no storage operation. */
  handleLazy(request, ctx, handler) {
    return this.#run(request, ctx, handler, { loads: false });
  }

  /**
   * The session that `request`, or a Cookie header, presents: unloaded, no I/O. Inside a handler of
   * the same request it is that handler's session, in the state that it is in.
   */
  open(request) {
    const found = sessionUnderWay(this.#realm, request);
    return found ? internals.handOut(found) : this.#attach(request, undefined);
  }

  /** The same, loaded. What was found is its `outcome`. */
  async load(request, { fresh = false } = {}) {
    const session = this.open(request);
    await internals.load(session, fresh);
    return session;
  }

  /**
   * Carries out what the request decided, and gives the response with its headers. A session that
   * `load` or `open` gave inside a handler is left to that: its answer decides, and gets the cookies.
   */
  async commit(session, response, ctx) {
    checkResponse(response, "commit was given");
    return this.#withHeaders(response, await this.#commit(session, response.status, ctx));
  }

  /** The same for frameworks that build their own response: the header fields to put on it. */
  async commitHeaders(session, { status = 200, ctx } = {}) {
    const headers = new Headers();
    if (!Number.isInteger(status) || status < 100 || status > 599) {
      throw sessionError("invalid_value", "status must be the response's status, a whole number from 100 to 599");
    }
    this.#write(headers, await this.#commit(session, status, ctx));
    return headers;
  }

  /** The live sessions of a user, the one written last first. */
  async list(owner, { ctx } = {}) {
    const listed = await this.#ask({ op: "list", owner: checkOwner(owner) }, ctx);
    return listed.map(({ key, created, lastWritten, userAgent = null, place = null }) => ({
      key,
      created: new Date(created),
      lastWritten: new Date(lastWritten),
      userAgent,
      place,
    }));
  }

  /** Ends one session of a user. */
  async revoke(owner, key, { ctx } = {}) {
    await this.#ask({ op: "revoke", owner: checkOwner(owner), key: String(key) }, ctx);
  }

  /** Ends every session of a user, but for that of the session key `except`. */
  async revokeAll(owner, { except, ctx } = {}) {
    const spared = except === undefined || except === null ? undefined : String(except);
    await this.#ask({ op: "revokeAll", owner: checkOwner(owner), except: spared }, ctx);
  }

  /** What is asked beside a session. It counts for the request of `ctx`; without one, of the only handler there is. */
  #ask(operation, ctx) {
    return this.#realm.ask(operation, ctx, internals.counterOf(this.#realm, ctx));
  }

  #attach(request, context) {
    const isText = request === undefined || request === null || typeof request === "string";
    // A `Request` makes its headers when they are asked for: not before somebody looks.
    const isRequest = request instanceof Request || typeof request?.headers?.get === "function";
    if (!isText && !isRequest) {
      throw sessionError("invalid_value", "open() and load() need a Request or a Cookie header; pass nothing for no cookies");
    }
    return new SessionStore(BY_SESSIONS, this.#opening, request, context);
  }

  async #commit(session, status, ctx) {
    if (internals.isLeftToHandler(session)) {
      internals.join(session, ctx);
      return internals.soFar(session);
    }
    try {
      return await internals.commit(session, status, ctx);
    } finally {
      internals.release(session);
    }
  }

  /** `hasFailed` tells, after the handler, of an answer that was made of an error. */
  async #run(request, ctx, handler, { loads = true, refuse = toProblem, hasFailed } = {}) {
    const outer = sessionUnderWay(this.#realm, request);
    const session = outer ?? this.#attach(request, ctx);
    if (outer) internals.join(outer, ctx);
    else enter(session, request);
    // Not for an inner handler that goes on after the outermost has ended.
    const isInner = () => outer !== undefined && internals.isHandled(outer);
    const drop = async (error) => {
      const done = await internals.done(session);
      return refuse(error, (response) => this.#withHeaders(response, done));
    };
    try {
      let response;
      let isThrown = false;
      try {
        if (loads) {
          const loading = internals.load(session);
          if (loading) await loading;
        }
        response = checkResponse(await handler(session, request), "the handler returned");
      } catch (thrown) {
        if (isResponse(thrown)) {
          // A redirect is an answer like one that is returned; an error page saves nothing.
          response = thrown;
          isThrown = thrown.status >= 400;
        } else {
          if (isInner()) {
            internals.drop(session);
            throw thrown; // for the outermost to answer
          }
          if (!outer) leave(session, request);
          const error = sessionErrorIn(thrown);
          if (!error) throw thrown;
          if (error !== thrown) internals.warnOf(session, behind(error, thrown), thrown);
          return await drop(error);
        }
      }
      const isFailure = hasFailed?.() === true;
      if (isInner()) {
        // They share one session: what a handler that failed has changed in it cannot be told apart.
        if (isFailure || isThrown || response.status >= 500) internals.drop(session);
        const answer = this.#withHeaders(response, internals.soFar(session));
        if (isThrown) throw answer;
        return answer;
      }
      // Who comes from here on finds a session that is committed, and opens one.
      if (!outer) leave(session, request);
      if (outer || isThrown || isFailure || internals.isToDrop(session)) {
        if (!isThrown && !isFailure && response.status < 400) internals.warnOfDrop(session);
        return this.#withHeaders(response, { ...(await internals.done(session)), isFailure });
      }
      let headers;
      try {
        headers = internals.commit(session, response.status);
        if (headers instanceof Promise) headers = await headers;
      } catch (error) {
        if (!sessionErrorIn(error)) throw error;
        if (!isRefusal(error) && !error.cause) internals.warn(session, `the session could not be saved: ${error.message}`);
        return await drop(error);
      }
      return this.#withHeaders(response, headers);
    } finally {
      if (!outer) {
        leave(session, request);
        internals.release(session);
      }
    }
  }

  static {
    this[ADAPTER] = {
      run: (sessions, ...rest) => sessions.#run(...rest),
      isSessions: (value) => typeof value === "object" && value !== null && #realm in value,
      isResponse,
      sessionErrorIn,
      lastError: internals.lastError,
    };
  }

  /** `response` with a commit's header fields: itself, or a copy where it cannot be changed. */
  #withHeaders(response, commit) {
    if (!commit.depends) return response;
    try {
      this.#write(response.headers, commit);
      return response;
    } catch (error) {
      // Headers of a redirect or of a fetched response are immutable.
      if (!(error instanceof TypeError)) throw error;
    }
    const copy = new Response(response.body, response);
    this.#write(copy.headers, commit);
    return copy;
  }

  /** Puts a commit's header fields on `headers`. */
  #write(headers, { cookies, depends, timing, isFailure = false }) {
    if (!depends) return;
    const { cacheControl, allowPrivateCache = false } = this.#realm;
    const own = headers.get("cache-control");
    // What was to be kept of the page is not meant for the answer to an error.
    const mayBePrivate = allowPrivateCache && cookies.length === 0 && !isFailure;
    const isKept = own !== null && keepsCacheControl(own, mayBePrivate);
    // The first of these is refused where the headers are immutable, before anything has changed.
    for (const name in cacheControl) {
      if (!isKept || name !== "cache-control") headers.set(name, cacheControl[name]);
    }
    for (const cookie of cookies) headers.append("set-cookie", cookie);
    if (timing) headers.append("server-timing", timing);
    const existing = headers.get("vary");
    const merged = existing === null ? "Cookie" : vary(existing);
    if (merged !== undefined) headers.set("vary", merged);
  }
}

/** The session that a handler has under way for this request, of the same cookies and the same configuration. */
function sessionUnderWay(realm, request) {
  const all = underWay.get(request);
  if (all === undefined) return undefined;
  const presented = all.filter((session) => internals.isOf(session, request));
  const found = presented.find((session) => realm.isSame(internals.realmOf(session)));
  if (!found) warnOfTwo(realm, presented);
  return found;
}

function enter(session, request) {
  if (typeof request !== "object" || request === null) return;
  internals.enter(session);
  const all = underWay.get(request);
  if (all) all.push(session);
  else underWay.set(request, [session]);
}

function leave(session, request) {
  if (!internals.isHandled(session)) return;
  internals.leave(session);
  const others = underWay.get(request).filter((other) => other !== session);
  if (others.length > 0) underWay.set(request, others);
  else underWay.delete(request);
}

/** Says once that a request has two sessions which overwrite each other's cookie. */
function warnOfTwo({ cookieName, disableWarnings }, others) {
  if (wasWarned || disableWarnings || !others.some((other) => internals.realmOf(other).cookieName === cookieName)) return;
  wasWarned = true;
  console.warn(
    `edge-session: one request is handled by two Sessions that set the cookie ${cookieName} and differ in secret, ` +
      "keyPrefix or namespace. Each overwrites the other's cookie. Configure them alike, so that they share one " +
      "session, or give one of them another cookieName",
  );
}

/** What the console is told of an error that was answered as what is behind it. */
function behind(error, thrown) {
  let what = "the thrown value";
  try {
    what = `${thrown.name}: ${thrown.message}`;
  } catch {
    // A getter of an exotic error may itself throw.
  }
  return `the request was answered with ${error.code}, the cause of this error: ${what}`;
}

function checkResponse(response, who) {
  if (isResponse(response)) return response;
  throw new TypeError(`${who} no Response${noResponse(response)}`);
}

/** What was given in place of a response, and what to do. */
function noResponse(value) {
  if (value instanceof SessionError) return " but a SessionError: throw it, or return its toResponse()";
  if (value instanceof Response) return " that can be sent: its status is 0, as that of Response.error()";
  return "";
}

/**
 * True for a response that can be sent, of another realm or a framework's own too. The error of an
 * HTTP client may look like one, and is none.
 */
function isResponse(value) {
  try {
    if (!(value instanceof Response)) {
      if (Object.prototype.toString.call(value) === "[object Error]" || value instanceof Error) return false;
      if (typeof value?.headers?.append !== "function") return false;
    }
    // Not 0, as that of `Response.error()`.
    return Number.isInteger(value.status) && value.status >= 100 && value.status <= 999;
  } catch {
    // A getter of an exotic object may itself throw, and so does all that is asked of a revoked proxy.
    return false;
  }
}
