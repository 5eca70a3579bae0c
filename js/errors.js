// The errors. Everything that fails in this package is a SessionError.

// HTTP status, seconds to retry after, whether it is a refusal: by code, told by the core.
let codes = {};

/** The line for the console about a failure; undefined where there was one just now. */
let complain = (cause) => `edge-session: ${cause}`;

/** What the core tells when it is there. */
export function learn(told, complaint) {
  codes = told;
  complain = complaint;
}

/** Errors whose cause the core has told the console. */
const told = new WeakSet();

const of = (code) => codes[code] ?? { status: 500 };

/** A failure of this package, by its stable `code`. The message is for people and may change. */
export class SessionError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.code = code;
  }

  /** The HTTP status that an answer with this code carries. */
  get status() {
    return of(this.code).status;
  }

  /** Seconds after which trying again makes sense; none where that cannot help. */
  get retryAfter() {
    return of(this.code).retryAfter;
  }

  /**
   * This error as a response: `application/problem+json` (RFC 9457). One that the application or its
   * settings are to blame for is told the console too, since nobody else sees it then.
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

  /** The same, by the name under which Hono looks for it. */
  getResponse() {
    return this.toResponse();
  }
}

/** The session's own end has passed. */
export class SessionExpired extends SessionError {
  constructor(message, options) {
    super("expired", message, options);
  }
}

// On the prototype, as the names of the built-in errors are: not a property of each error.
for (const type of [SessionError, SessionExpired]) {
  Object.defineProperty(type.prototype, "name", { value: type.name, configurable: true, writable: true });
}

/** True for what a session says of itself when it cannot be used. */
export const isRefusal = (error) => error instanceof SessionError && of(error.code).refusal === true;

/** An error of this code. */
export function sessionError(code, message, cause) {
  const options = cause === undefined ? undefined : { cause };
  return code === "expired" ? new SessionExpired(message, options) : new SessionError(code, message, options);
}

/** What the core tells of an error, as one. Of what the store threw it knows the number in `causes`. */
export function fromCore({ code, message, cause }, causes = []) {
  const error = sessionError(code, message, causes[cause]);
  if (cause !== undefined) told.add(error);
  return error;
}

/** Errors that are looked at behind one. */
const MOST_BEHIND = 50;

/** The SessionError that `thrown` is or was caused by, the nearest; undefined where there is none. */
export function sessionErrorIn(thrown) {
  // It grows while it is walked. A set holds what leads back to itself once.
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
      // A getter of an exotic error may itself throw. What else is behind is looked at all the same.
    }
  }
  return undefined;
}

/** What an error says is behind it. */
function* causesOf(error) {
  const { name } = error;
  if (name === "SuppressedError") yield* [error.error, error.suppressed];
  if (error instanceof AggregateError || name === "AggregateError") yield* error.errors;
  yield error.cause;
}

/** Warns on the console: at once, and with the same message no more than once a minute. */
export function warnOf(message, now, ...more) {
  const line = complain(message, now);
  if (line !== undefined) console.warn(line, ...more);
}

/** Refuses what is no user id: text that the core would read as other text, too. */
export function checkOwner(owner) {
  if (typeof owner !== "string" || !owner.isWellFormed()) {
    throw sessionError("invalid_value", "a user id must be a well-formed string");
  }
  return owner;
}
