// Sessions of a Worker: how they are opened, loaded and committed.

import { keepsCacheControl, vary } from "./core.js";
import { checkOwner, isRefusal, sessionError, sessionErrorIn } from "./errors.js";
import { checkOptions, realmOf, realmOfEnv, sinkOf } from "./realm.js";
import { BY_SESSIONS, SessionStore, internals } from "./session-store.js";

const BY_REALM = Symbol("realm");

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
    checkOptions(options, ["onEvent"], "Sessions.fromEnv", "settings are variables there, or options of new Sessions");
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
   * handler of the same request it is that one's session, and the outermost commits.
   */
  handle(request, ctx, handler) {
    return this.#run(request, ctx, handler);
  }

  /** As `handle`, with a session that is not loaded: untouched, it costs no storage operation. */
  handleLazy(request, ctx, handler) {
    return this.#run(request, ctx, handler, { loads: false });
  }

  /** The session that `request`, or a Cookie header, presents: unloaded, no I/O. */
  open(request) {
    return this.#attach(request, undefined);
  }

  /** The session that `request` presents, loaded. What was found is its `outcome`. */
  async load(request, { fresh = false } = {}) {
    const session = this.#attach(request, undefined);
    await internals.load(session, fresh);
    return session;
  }

  /** Carries out what the request decided, and gives the response with its headers. */
  async commit(session, response, ctx) {
    return this.#withHeaders(response, await this.#commit(session, response.status, ctx));
  }

  /** The same for frameworks that build their own response: the header fields to put on it. */
  async commitHeaders(session, { status = 200, ctx } = {}) {
    const headers = new Headers();
    if (!Number.isInteger(status) || status < 100 || status > 599) {
      throw sessionError("invalid_value", "status is that of the answer: a whole number from 100 to 599");
    }
    this.#write(headers, await this.#commit(session, status, ctx));
    return headers;
  }

  /** The live sessions of a user, the one written last first. */
  async list(owner) {
    const listed = await this.#realm.ask({ op: "list", owner: checkOwner(owner) });
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
    await this.#realm.ask({ op: "revoke", owner: checkOwner(owner), key: String(key) }, ctx);
  }

  /** Ends every session of a user, but for that of the session key `except`. */
  async revokeAll(owner, { except, ctx } = {}) {
    const spared = except === undefined || except === null ? undefined : String(except);
    await this.#realm.ask({ op: "revokeAll", owner: checkOwner(owner), except: spared }, ctx);
  }

  #attach(request, context) {
    const isText = request === undefined || request === null || typeof request === "string";
    // A `Request` makes its headers when they are asked for: not before somebody looks.
    const isRequest = request instanceof Request || typeof request?.headers?.get === "function";
    if (!isText && !isRequest) {
      throw sessionError("invalid_value", "a session is opened by a Request, a Cookie header or nothing");
    }
    return new SessionStore(BY_SESSIONS, this.#opening, request, context);
  }

  async #commit(session, status, ctx) {
    try {
      return await internals.commit(session, status, ctx);
    } finally {
      internals.release(session);
    }
  }

  async #run(request, ctx, handler, { loads = true, refuse = toProblem } = {}) {
    const { underWay } = this.#realm;
    const outer = underWay.get(request);
    if (outer && internals.isOf(outer, request)) {
      // What this handler throws is for the outermost to answer, which drops the changes then.
      internals.join(outer, ctx);
      if (loads) await internals.load(outer);
      return checkResponse(await handler(outer, request));
    }
    const session = this.#attach(request, ctx);
    const isShared = typeof request === "object" && request !== null;
    if (isShared) underWay.set(request, session);
    const drop = async (error) => {
      const done = await internals.done(session);
      return refuse(error, (response) => this.#withHeaders(response, done));
    };
    try {
      if (loads) {
        const loading = internals.load(session);
        if (loading) await loading;
      }
      let response;
      try {
        response = checkResponse(await handler(session, request));
      } catch (thrown) {
        if (isResponse(thrown)) {
          // A redirect is an answer like one that is returned; an error page saves nothing.
          if (thrown.status >= 400) return this.#withHeaders(thrown, await internals.done(session));
          response = thrown;
        } else {
          const error = sessionErrorIn(thrown);
          if (!error) throw thrown;
          if (error !== thrown) internals.warn(session, `answered with ${error.code}, which is behind this error:`, thrown);
          return await drop(error);
        }
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
      if (isShared) {
        if (outer) underWay.set(request, outer);
        else underWay.delete(request);
      }
      internals.release(session);
    }
  }

  static {
    this[ADAPTER] = {
      run: (sessions, ...rest) => sessions.#run(...rest),
      sessionErrorIn,
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
  #write(headers, { cookies, depends, timing }) {
    if (!depends) return;
    const { cacheControl, allowPrivateCache = false } = this.#realm;
    const own = headers.get("cache-control");
    const isKept = own !== null && keepsCacheControl(own, allowPrivateCache && cookies.length === 0);
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

function checkResponse(response) {
  if (typeof response?.status !== "number") throw new TypeError("the handler returned no Response");
  return response;
}

/**
 * True for a response that was thrown, of another realm or a framework's own too. The error of an HTTP
 * client may look like one, and is none.
 */
function isResponse(thrown) {
  if (thrown instanceof Response) return true;
  if (Object.prototype.toString.call(thrown) === "[object Error]" || thrown instanceof Error) return false;
  return Number.isInteger(thrown?.status) && typeof thrown.headers?.append === "function";
}
