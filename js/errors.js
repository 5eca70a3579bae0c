// The errors. Everything that fails in this package is a SessionError.

// HTTP status, seconds to retry after, whether it is a refusal: by code, told by the core.
let codes = {};

export function learnCodes(told) {
  codes = told;
}

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

  /** This error as a response: `application/problem+json` (RFC 9457). */
  toResponse() {
    const { code, status, message, retryAfter } = this;
    const headers = { "content-type": "application/problem+json", "cache-control": "no-store" };
    if (retryAfter) headers["retry-after"] = String(retryAfter);
    const title = code.replaceAll("_", " ");
    const problem = { type: "about:blank", title, status, detail: message, code };
    return new Response(JSON.stringify(problem), { status, headers });
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
export const fromCore = ({ code, message, cause }, causes = []) => sessionError(code, message, causes[cause]);

/** Refuses what is no user id: text that the core would read as other text, too. */
export function checkOwner(owner) {
  if (typeof owner !== "string" || !owner.isWellFormed()) {
    throw sessionError("invalid_value", "a user id is well-formed text");
  }
  return owner;
}
