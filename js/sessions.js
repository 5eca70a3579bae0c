// Sessions: opens, loads and commits the sessions of a Worker.

import { cookieOf } from "./cookies.js";
import { keepsCacheControl, vary } from "./core.js";
import { SessionError, checkOwner, isRefusal, sessionError, sessionErrorIn } from "./errors.js";
import { checkCall, checkOptions, configOf, configOfEnv, sinkOf } from "./config.js";
import { BY_SESSIONS, SessionStore, internals } from "./session-store.js";

const BY_CONFIG = Symbol("config");

/** By request: the sessions whose handlers are running, until they are committed. */
const underWay = new WeakMap();

/** True after the warning about two sessions that set the same cookie. */
let wasWarned = false;

/**
 * Gives the adapters of this package access to internals. They import only its public entry, so that
 * every bundle contains one copy of everything.
 */
const ADAPTER = Symbol.for("edge-session.adapter");

/** The response of `handle` to a SessionError. `put` adds the session's headers to a response. */
const toProblem = (error, put) => put(error.toResponse());

/** The sessions of a Worker: a KV namespace or a connector, secrets and settings. */
export class Sessions {
  #config;
  /** The arguments for each new session. */
  #opening;

  constructor(connector, options, onEvent) {
    const isConfig = connector === BY_CONFIG;
    this.#config = isConfig ? options : configOf(connector, options);
    this.#opening = { config: this.#config, sink: sinkOf(isConfig ? onEvent : options.onEvent) };
  }

  /** Reads the configuration from the environment: KV binding SESSIONS, SESSION_SECRET, variables SESSION_…. */
  static fromEnv(env, options = {}) {
    checkOptions(options, ["onEvent"], "Sessions.fromEnv", "; set settings as variables, or pass them to new Sessions");
    return new this(BY_CONFIG, configOfEnv(env), options.onEvent);
  }

  /** The counters of this isolate for the sessions on this connector. */
  get stats() {
    return this.#config.stats();
  }

  /** D: seconds after which a revoked session is dead everywhere, if writes propagate as fast as assumed. */
  get stalenessBound() {
    return this.#config.stalenessBound;
  }

  /**
   * Loads the session of `request`, runs `handler` whatever the outcome, and commits. Inside another
   * handler of the same request, the two share one session, and the outermost handler commits with
   * its response. An inner handler must be awaited.
   */
  handle(request, ctx, handler) {
    return this.#run(request, ctx, handler);
  }

  /** As `handle`, but the session is not loaded. If it is not used, it costs no storage operation. */
  handleLazy(request, ctx, handler) {
    return this.#run(request, ctx, handler, { loads: false });
  }

  /**
   * The session that `request` or a Cookie header presents, not loaded. Does no I/O. Inside a handler
   * of the same request, it is that handler's session in its current state.
   */
  open(request) {
    const found = sessionUnderWay(this.#config, request);
    return found ? internals.handOut(found) : this.#attach(request, undefined);
  }

  /** As `open`, but loaded. Its `outcome` says what the load found. */
  async load(request, options = {}) {
    const { fresh = false } = checkCall(options, "load", "fresh");
    const session = this.open(request);
    await internals.load(session, fresh);
    return session;
  }

  /**
   * Writes the pending changes and returns the response with the session's headers. A session that
   * `load` or `open` returned inside a handler is committed by that handler, whose response gets the
   * cookies.
   */
  async commit(session, response, ctx) {
    checkContext(ctx);
    checkResponse(response, "commit was given");
    return this.#withHeaders(response, await this.#commit(session, response.status, ctx));
  }

  /** As `commit`, but returns the header fields, for frameworks that build their own response. */
  async commitHeaders(session, options = {}) {
    const { status = 200, ctx } = checkCall(options, "commitHeaders", "status", "ctx");
    checkContext(ctx);
    const headers = new Headers();
    if (!Number.isInteger(status) || status < 100 || status > 599) {
      throw invalid("status must be the response's status, a whole number from 100 to 599");
    }
    this.#write(headers, await this.#commit(session, status, ctx));
    return headers;
  }

  /** As `commitHeaders`, with the cookies as structures, for frameworks that set cookies by name. */
  async commitCookies(session, options) {
    const headers = await this.commitHeaders(session, options);
    const cookies = headers.getSetCookie().map(cookieOf);
    headers.delete("set-cookie");
    return { cookies, headers };
  }

  /** The live sessions of a user, most recently written first. */
  async list(owner, options = {}) {
    const { ctx } = checkCall(options, "list", "ctx");
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
  async revoke(owner, key, options = {}) {
    const { ctx } = checkCall(options, "revoke", "ctx");
    await this.#ask({ op: "revoke", owner: checkOwner(owner), key: String(key) }, ctx);
  }

  /** Ends every session of a user, except the one with the session key `except`. */
  async revokeAll(owner, options = {}) {
    const { except, ctx } = checkCall(options, "revokeAll", "except", "ctx");
    const spared = except === undefined || except === null ? undefined : String(except);
    await this.#ask({ op: "revokeAll", owner: checkOwner(owner), except: spared }, ctx);
  }

  /** Runs an operation outside a session. It counts for the request of `ctx`, or of the only running handler. */
  async #ask(operation, ctx) {
    checkContext(ctx);
    const config = this.#config;
    const session = internals.askedBeside(config, ctx);
    try {
      return await config.ask(operation, ctx, internals.counterOf(config, ctx));
    } catch (error) {
      // If another request began or ended meanwhile, the error may not belong to this session.
      if (session && session === internals.askedBeside(config, ctx)) internals.noteBeside(session, error);
      throw error;
    }
  }

  #attach(request, context) {
    const isText = request === undefined || request === null || typeof request === "string";
    // A `Request` creates its headers lazily, so do not read them before they are needed.
    const isRequest = request instanceof Request || typeof request?.headers?.get === "function";
    if (!isText && !isRequest) {
      throw invalid("open() and load() need a Request or a Cookie header, or nothing for no cookies; handle() needs a Request");
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

  /**
   * `hasFailed` tells, after the handler, whether the response was made from an error; `streams`, whether the
   * body of a response may use the session after the commit.
   */
  async #run(request, ctx, handler, { loads = true, refuse = toProblem, hasFailed, streams } = {}) {
    checkContext(ctx);
    if (request === undefined || request === null) throw invalid("handle() needs the Request");
    const outer = sessionUnderWay(this.#config, request);
    const session = outer ?? this.#attach(request, ctx);
    if (outer) internals.join(outer, ctx);
    else enter(session, request);
    // False for an inner handler that continues after the outermost has ended.
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
          // A redirect counts as a returned response; an error page saves nothing.
          response = thrown;
          isThrown = thrown.status >= 400;
        } else {
          if (isInner()) {
            internals.drop(session);
            throw thrown; // the outermost handler responds
          }
          if (!outer) leave(session, request);
          const error = sessionErrorIn(thrown);
          if (!error) {
            // A logout that waits for another step is carried out.
            await internals.settled(session);
            throw thrown;
          }
          if (error !== thrown) internals.warnOf(session, behind(error, thrown), thrown);
          return await drop(error);
        }
      }
      const isFailure = hasFailed?.() === true;
      if (isInner()) {
        // The handlers share one session, so the changes of a failed one cannot be separated.
        if (isFailure || isThrown || response.status >= 500) internals.drop(session);
        const answer = this.#withHeaders(response, internals.soFar(session));
        if (isThrown) throw answer;
        return answer;
      }
      // From here on the session counts as committed, so other callers open a new one.
      if (!outer) leave(session, request);
      if (outer || isThrown || isFailure || internals.isToDrop(session)) {
        if (!isThrown && !isFailure && response.status < 400) internals.warnOfDrop(session);
        return this.#withHeaders(response, { ...(await internals.done(session)), isFailure });
      }
      let headers;
      try {
        if (streams?.(response)) internals.expectUse(session);
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
      isSessions: (value) => typeof value === "object" && value !== null && #config in value,
      isResponse,
      sessionErrorIn,
      lastError: internals.lastError,
    };
  }

  /** `response` with the header fields of a commit. Returns a copy if its headers are immutable. */
  #withHeaders(response, commit) {
    if (!commit.depends) return response;
    if (!mayBeShared(response, commit)) {
      try {
        this.#write(response.headers, commit);
        return response;
      } catch (error) {
        // The headers of a redirect or of a fetched response are immutable.
        if (!(error instanceof TypeError)) throw error;
      }
    }
    const copy = new Response(response.body, response);
    this.#write(copy.headers, commit);
    return copy;
  }

  /** Adds the header fields of a commit to `headers`. */
  #write(headers, { cookies, depends, timing, isFailure = false }) {
    if (!depends) return;
    const { cacheControl, allowPrivateCache = false } = this.#config;
    const own = headers.get("cache-control");
    // The page's cache settings do not apply to the response to an error.
    const mayBePrivate = allowPrivateCache && cookies.length === 0 && !isFailure;
    const isKept = own !== null && keepsCacheControl(own, mayBePrivate);
    // If the headers are immutable, the first call throws, before anything has changed.
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

/** Refuses what is not a context, such as `env`: the work that it should keep alive would be lost. */
function checkContext(ctx) {
  if (ctx === undefined || ctx === null || typeof ctx.waitUntil === "function") return;
  throw invalid("ctx must be the context of the fetch handler, with waitUntil(); leave it out if there is none");
}

const invalid = (message) => sessionError("invalid_value", message);

/**
 * True if the cookies of one visitor could reach another: a response without a body can be returned for
 * several requests, as a constant of a module may be.
 */
const mayBeShared = (response, { cookies, timing }) =>
  (cookies.length > 0 || timing !== undefined) && response.body === null && response instanceof Response && response.status !== 101;

/** The session of a running handler for this request, with the same cookies and the same configuration. */
function sessionUnderWay(config, request) {
  const all = underWay.get(request);
  if (all === undefined) return undefined;
  const presented = all.filter((session) => internals.isOf(session, request));
  const found = presented.find((session) => config.isSame(internals.configOf(session)));
  if (!found) warnOfTwo(config, presented);
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

/** Warns once that a request has two sessions which overwrite each other's cookie. */
function warnOfTwo({ cookieName, disableWarnings }, others) {
  if (wasWarned || disableWarnings || !others.some((other) => internals.configOf(other).cookieName === cookieName)) return;
  wasWarned = true;
  console.warn(
    `edge-session: one request is handled by two Sessions that set the cookie ${cookieName} and differ in secret, ` +
      "keyPrefix or namespace. Each overwrites the other's cookie. Configure them alike, so that they share one " +
      "session, or give one of them another cookieName",
  );
}

/** The warning about an error that was answered with the SessionError that caused it. */
function behind(error, thrown) {
  let what = "the thrown value";
  try {
    what = `${thrown.name}: ${thrown.message}`;
  } catch {
    // Getters of unusual errors may throw.
  }
  return `the request was answered with ${error.code}, the cause of this error: ${what}`;
}

function checkResponse(response, who) {
  if (isResponse(response)) return response;
  throw new TypeError(`${who} no Response${noResponse(response)}`);
}

/** Describes a value that is not a response, and says what to do. */
function noResponse(value) {
  if (value instanceof SessionError) return " but a SessionError: throw it, or return its toResponse()";
  if (value instanceof Response) return " that can be sent: its status is 0, as that of Response.error()";
  return "";
}

/**
 * True for a response that can be sent, also one of another realm or a framework's own. Errors of HTTP
 * clients can look like responses and must not count.
 */
function isResponse(value) {
  try {
    if (!(value instanceof Response)) {
      if (Object.prototype.toString.call(value) === "[object Error]" || value instanceof Error) return false;
      const { headers } = value;
      if (!["get", "set", "append"].every((method) => typeof headers?.[method] === "function")) return false;
    }
    // `Response.error()` has the status 0.
    const { status } = value; // the platform computes it each time
    return Number.isInteger(status) && status >= 100 && status <= 999;
  } catch {
    // Getters of unusual objects may throw, and so does every access to a revoked proxy.
    return false;
  }
}
