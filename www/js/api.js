// The JSON API of the Worker, one method a route.

import { parseJson } from "./json.js";
import { noAnswer, Problem, problemOf } from "./problem.js";

const PATIENCE = 20_000;

export class Api {
  #last = Promise.resolve();
  #onExchange;

  /** `onExchange` hears of each request: `{at, method, path, status, code, outcome, timing, ms}`. */
  constructor(onExchange) {
    this.#onExchange = onExchange;
  }

  /**
   * Where the Worker keeps sessions: `{storage, stalenessBound, window}`, in seconds, or null where it
   * does not say. It concerns no session, so it waits for no turn and is not heard of.
   */
  async store() {
    try {
      const response = await fetch("/api/store", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      const store = await bodyOf(response);
      return response.ok && typeof store?.storage === "string" ? store : null;
    } catch {
      // A request for the session meets the same trouble, and says what it is.
      return null;
    }
  }

  session() {
    return this.#ask("GET", "/api/session");
  }

  /** Sends the value as it was written: `text` is JSON already. */
  set(key, text) {
    return this.#ask("PUT", valuePath(key), text);
  }

  remove(key) {
    return this.#ask("DELETE", valuePath(key));
  }

  clear() {
    return this.#ask("DELETE", "/api/session/data");
  }

  /** Leaves a value that is read once. */
  leaveFlash(key, value) {
    return this.#ask("PUT", `/api/session/flash/${encodeURIComponent(key)}`, JSON.stringify(value));
  }

  /** Takes it: any JSON value. */
  takeFlash(key) {
    return this.#ask("POST", `/api/session/flash/${encodeURIComponent(key)}/take`, undefined, () => true);
  }

  setExpiry(expiry) {
    return this.#ask("PUT", "/api/session/expiry", JSON.stringify(expiry));
  }

  cycle() {
    return this.#ask("POST", "/api/session/cycle");
  }

  destroy() {
    return this.#ask("DELETE", "/api/session");
  }

  login(owner) {
    return this.#ask("POST", "/api/login", JSON.stringify({ owner }));
  }

  /** As after a password that was checked again: a new key and login time. */
  reauthenticate() {
    return this.#ask("POST", "/api/reauthenticate");
  }

  logout() {
    return this.#ask("POST", "/api/logout");
  }

  /** The owner's sessions. */
  devices() {
    return this.#ask("GET", "/api/sessions", undefined, Array.isArray);
  }

  /** Ends one session of the owner. */
  revoke(key) {
    return this.#ask("DELETE", `/api/sessions/${encodeURIComponent(key)}`);
  }

  /** Ends every session of the owner; `spare` keeps this one. */
  revokeAll({ spare }) {
    return this.#ask("DELETE", spare ? "/api/sessions?except=current" : "/api/sessions");
  }

  // One at a time: reading one's own writes is promised to requests in sequence.
  #ask(method, path, body, isAnswer = isSession) {
    const turn = this.#last.then(() => this.#exchange(method, path, body, isAnswer));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #exchange(method, path, body, isAnswer) {
    const at = Date.now();
    const start = performance.now();
    const exchange = { status: 0, code: null, outcome: null, timing: null };
    try {
      const response = await fetch(path, {
        method,
        body,
        headers: body === undefined ? {} : { "content-type": "application/json" },
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE),
      });
      exchange.status = response.status;
      exchange.timing = response.headers.get("server-timing");
      const answer = await bodyOf(response);
      if (!response.ok) throw problemOf(response, answer);
      if (response.status !== 204 && !isAnswer(answer)) throw problemOf(response, null);
      exchange.outcome = answer?.outcome ?? null;
      return answer;
    } catch (error) {
      const problem = error instanceof Problem ? error : noAnswer(error);
      exchange.code = problem.code;
      throw problem;
    } finally {
      this.#onExchange({ at, method, path, ...exchange, ms: performance.now() - start });
    }
  }
}

const isSession = (answer) => typeof answer?.isNew === "boolean";

async function bodyOf(response) {
  const text = await response.text();
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}

// URLs drop the segments "", "." and "..", encoded or not: such a path would
// name another resource, and a DELETE of it would take more than the value.
function valuePath(key) {
  if (key === "" || key === "." || key === ".." || !key.isWellFormed()) {
    throw new Problem({ code: "not_addressable", title: "This key cannot be part of a URL", detail: "Use another key, or set it from code" });
  }
  return `/api/session/data/${encodeURIComponent(key)}`;
}
