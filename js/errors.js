// The errors. Everything that fails in this package is a SessionError.

/** HTTP status, seconds to retry after, and whether it is a refusal, for each code. From the core. */
let codes;
let readCodes = () => undefined;

/** The console line about a failure; undefined if the same line was written less than a minute ago. */
let complain = (cause) => `edge-session: ${cause}`;

/** Called with functions of the core after its initialisation. The codes are read when they are first needed. */
export function learn(errorCodes, complaint) {
  readCodes = errorCodes;
  complain = complaint;
}

/** Errors whose cause the core has already reported on the console. */
const told = new WeakSet();

function of(code) {
  try {
    codes ??= readCodes();
  } catch {
    // The core has failed. That must not hide the error that is asked about.
  }
  return codes?.[code] ?? { status: 500 };
}

/** An error of this package. Match on its stable `code`; the message is for people and may change. */
export class SessionError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.code = code;
  }

  /** The HTTP status of a response with this code. */
  get status() {
    return of(this.code).status;
  }

  /** Seconds to wait before trying again; undefined if a retry cannot help. */
  get retryAfter() {
    return of(this.code).retryAfter;
  }

  /**
   * This error as `application/problem+json` (RFC 9457). Errors caused by the application or its
   * settings are also written to the console, because nobody else would see them.
   */
  toResponse() {
    const { code, status, message, retryAfter } = this;
    if (status === 500 || (code === "unavailable" && !told.has(this))) {
      const line = complain(`${code}: ${message}`, Date.now());
      if (line !== undefined) console.error(line, this);
    }
    const headers = { "content-type": "application/problem+json", "cache-control": "no-store" };
    if (retryAfter) headers["retry-after"] = String(retryAfter);
    const title = code.replaceAll("_", " ");
    const problem = { type: "about:blank", title, status, detail: message, code };
    return new Response(JSON.stringify(problem), { status, headers });
  }

  /** The same, under the name that Hono looks for. */
  getResponse() {
    return this.toResponse();
  }
}

/** The session has expired. */
export class SessionExpired extends SessionError {
  constructor(message, options) {
    super("expired", message, options);
  }
}

// On the prototype, like the names of built-in errors, not on each error.
for (const type of [SessionError, SessionExpired]) {
  Object.defineProperty(type.prototype, "name", { value: type.name, configurable: true, writable: true });
}

/** True if a session throws this error because it cannot be used. */
export const isRefusal = (error) => error instanceof SessionError && of(error.code).refusal === true;

/** An error of this code. */
export function sessionError(code, message, cause) {
  const options = cause === undefined ? undefined : { cause };
  return code === "expired" ? new SessionExpired(message, options) : new SessionError(code, message, options);
}

/** A SessionError from the core's description. An error of the store is given by its index in `causes`. */
export function fromCore({ code, message, cause }, causes = []) {
  const error = sessionError(code, message, causes[cause]);
  if (cause !== undefined) told.add(error);
  return error;
}

/** The most causes that are searched. */
const MOST_BEHIND = 50;

/** The SessionError that `thrown` is or was caused by (the nearest one), or undefined. */
export function sessionErrorIn(thrown) {
  // The set grows during the loop. Cycles end because a set holds each error once.
  const behind = new Set([thrown]);
  for (const one of behind) {
    try {
      if (one instanceof SessionError) return one;
      if (typeof one !== "object" || one === null) continue;
      for (const next of causesOf(one)) {
        if (behind.size >= MOST_BEHIND) break;
        behind.add(next);
      }
    } catch {
      // Getters of unusual errors may throw. Continue with the other causes.
    }
  }
  return undefined;
}

/** The causes of an error. */
function* causesOf(error) {
  const { name } = error;
  if (name === "SuppressedError") yield* [error.error, error.suppressed];
  if (error instanceof AggregateError || name === "AggregateError") yield* error.errors;
  yield error.cause;
}

/** Warns on the console, with the same message at most once a minute. */
export function warnOf(message, now, ...more) {
  const line = complain(message, now);
  if (line !== undefined) console.warn(line, ...more);
}

/** Refuses invalid user ids, including strings with lone surrogates, which the core would change. */
export function checkOwner(owner) {
  if (typeof owner !== "string" || !owner.isWellFormed()) {
    throw sessionError("invalid_value", "a user id must be a well-formed string");
  }
  return owner;
}
