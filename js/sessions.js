// Sessions of a Worker: how they are opened, loaded and committed.

import { vary } from "./core.js";
import { checkOwner, isRefusal, sessionError } from "./errors.js";
import { realmOf, realmOfEnv, sinkOf } from "./realm.js";
import { BY_SESSIONS, SessionStore, internals } from "./session-store.js";

const BY_REALM = Symbol("realm");

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
  static fromEnv(env, { onEvent } = {}) {
    return new this(BY_REALM, realmOfEnv(env), onEvent);
  }

  /** What this isolate has counted of the sessions on this connector. */
  get stats() {
    return this.#realm.stats();
  }

  /** D: seconds after which a revoked session is dead everywhere, if propagation is as assumed. */
  get stalenessBound() {
    return this.#realm.stalenessBound;
  }

  /** Loads the session of `request`, runs `handler` whatever was found, and commits. */
  handle(request, ctx, handler) {
    return this.#run(request, ctx, handler, true);
  }

  /** As `handle`, with a session that is not loaded: untouched, it costs no storage operation. */
  handleLazy(request, ctx, handler) {
    return this.#run(request, ctx, handler, false);
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
  async revoke(owner, key) {
    await this.#realm.ask({ op: "revoke", owner: checkOwner(owner), key: String(key) });
  }

  /** Ends every session of a user, but for that of the session key `except`. */
  async revokeAll(owner, { except } = {}) {
    const spared = except === undefined || except === null ? undefined : String(except);
    await this.#realm.ask({ op: "revokeAll", owner: checkOwner(owner), except: spared });
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

  async #run(request, ctx, handler, loads) {
    const session = this.#attach(request, ctx);
    try {
      if (loads) {
        const loading = internals.load(session);
        if (loading) await loading;
      }
      let response;
      try {
        response = await handler(session, request);
      } catch (error) {
        // What failed after the session refused is answered with the refusal.
        if (!session.refusal) throw error;
        return this.#withHeaders(session.refusal.toResponse(), await internals.done(session));
      }
      if (typeof response?.status !== "number") throw new TypeError("the handler returned no Response");
      let headers;
      try {
        headers = internals.commit(session, response.status);
        if (headers instanceof Promise) headers = await headers;
      } catch (error) {
        if (typeof error?.toResponse !== "function") throw error;
        if (!isRefusal(error)) internals.warn(session, `the session could not be saved: ${error.message}`);
        return this.#withHeaders(error.toResponse(), await internals.done(session));
      }
      return this.#withHeaders(response, headers);
    } finally {
      internals.release(session);
    }
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
    const { cacheControl } = this.#realm;
    // The first of these is refused where the headers are immutable, before anything has changed.
    for (const name in cacheControl) headers.set(name, cacheControl[name]);
    for (const cookie of cookies) headers.append("set-cookie", cookie);
    if (timing) headers.append("server-timing", timing);
    const existing = headers.get("vary");
    const merged = existing === null ? "Cookie" : vary(existing);
    if (merged !== undefined) headers.set("vary", merged);
  }
}
