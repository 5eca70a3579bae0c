// The cookies of one browser for one site (RFC 6265bis, sections 5.6 to 5.8).

/** Longest name and value together, in bytes. */
const MOST_BYTES = 4096;
/** 400 days, in seconds. */
const MOST_AGE = 34_560_000;

/**
 * Name, value and attributes (lower-case names; true for one without a value) of a Set-Cookie line.
 */
export function parseSetCookie(line) {
  const [pair, ...rest] = line.split(";").map((part) => part.trim());
  const equals = pair.indexOf("=");
  const attributes = {};
  for (const part of rest) {
    const at = part.indexOf("=");
    const [name, value] = at < 0 ? [part, true] : [part.slice(0, at), part.slice(at + 1)];
    attributes[name.trim().toLowerCase()] = value === true ? true : value.trim();
  }
  return { name: pair.slice(0, Math.max(equals, 0)).trim(), value: pair.slice(equals + 1).trim(), attributes };
}

export class CookieJar {
  /** Keyed by what identifies a cookie (name, Domain, Path, Partitioned): { name, value, path, expiresAt, sameSite, attributes, order }. */
  #cookies = new Map();
  #order = 0;
  #now;
  #host;
  /** The Set-Cookie lines that were refused, each with the reason: [{ line, why }]. */
  refused = [];

  /** `now` returns the time in milliseconds. Without a `host`, any Domain is accepted. */
  constructor(now, host) {
    this.#now = now;
    this.#host = host;
  }

  /** Stores the cookie of a Set-Cookie line, from the response to a request for `path`, or refuses it as a browser does. */
  receive(line, { path: requestPath = "/", isSecure = true } = {}) {
    const cookie = parseSetCookie(line);
    const { name, value, attributes } = cookie;
    const path = String(attributes.path ?? "").startsWith("/") ? attributes.path : defaultPath(requestPath);
    const sameSite = String(attributes.samesite ?? "lax").toLowerCase();
    const domain = String(attributes.domain ?? "").replace(/^\./, "").toLowerCase();
    const why = reason({ ...cookie, line, sameSite, domain }, isSecure, this.#host);
    if (why !== undefined) {
      this.refused.push({ line, why });
      return;
    }
    const key = [name, domain, path, "partitioned" in attributes].join(";");
    const expiresAt = this.#expiry(attributes);
    if (expiresAt <= this.#now()) {
      this.#cookies.delete(key);
      return;
    }
    // A replaced cookie keeps its place in the Cookie header, unless it had expired.
    const known = this.#cookies.get(key);
    const order = known && known.expiresAt > this.#now() ? known.order : (this.#order += 1);
    this.#cookies.set(key, { name, value, path, expiresAt, sameSite, attributes, order });
  }

  /** Milliseconds since the epoch; Infinity for one that lives until the browser is closed. */
  #expiry(attributes) {
    if (/^-?\d+$/.test(attributes["max-age"])) {
      return this.#now() + Math.min(Number(attributes["max-age"]), MOST_AGE) * 1000;
    }
    const date = Date.parse(attributes.expires);
    return Number.isNaN(date) ? Infinity : date;
  }

  /** The Cookie header of a request, or "" if there is none. `from` is its Sec-Fetch-Site. */
  header(path = "/", { method = "GET", from, isSecure = true } = {}) {
    const isSafe = method === "GET" || method === "HEAD";
    const sent = this.live.filter(
      (cookie) =>
        covers(cookie.path, path.split(/[?#]/)[0]) &&
        (isSecure || !("secure" in cookie.attributes)) &&
        (from !== "cross-site" ||
          cookie.sameSite === "none" ||
          // A request from another site carries Lax cookies only if it is a navigation.
          (cookie.sameSite !== "strict" && isSafe)),
    );
    sent.sort((one, other) => other.path.length - one.path.length || one.order - other.order);
    return sent.map(({ name, value }) => `${name}=${value}`).join("; ");
  }

  /** The cookies that have not expired, in order of creation. */
  get live() {
    const live = [...this.#cookies.values()].filter((cookie) => cookie.expiresAt > this.#now());
    return live.sort((one, other) => one.order - other.order);
  }

  remove(name) {
    for (const [key, cookie] of this.#cookies) if (cookie.name === name) this.#cookies.delete(key);
  }

  /** Closing the browser removes the cookies that have neither Max-Age nor Expires. */
  close() {
    for (const [key, cookie] of this.#cookies) if (cookie.expiresAt === Infinity) this.#cookies.delete(key);
  }

  copy() {
    const copy = new CookieJar(this.#now, this.#host);
    for (const [key, cookie] of this.#cookies) copy.#cookies.set(key, { ...cookie });
    copy.#order = this.#order;
    return copy;
  }
}

/** Why a browser would refuse a cookie, or undefined if it would accept it. */
function reason({ line, name, value, attributes, sameSite, domain }, isSecure, host) {
  const hasSecure = "secure" in attributes;
  if (name === "") return "the cookie has no name";
  if (name.length + value.length > MOST_BYTES) return "name and value together exceed 4096 bytes";
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(line)) return "it contains a control character";
  if (hasSecure && !isSecure) return "a Secure cookie cannot be set over http";
  if (!hasSecure && /^__(secure|host)-/i.test(name)) return "its name prefix requires Secure";
  if (!hasSecure && sameSite === "none") return "SameSite=None requires Secure";
  if (!hasSecure && "partitioned" in attributes) return "Partitioned requires Secure";
  if (/^__host-/i.test(name) && (domain !== "" || attributes.path !== "/")) return "__Host- requires Path=/ and no Domain";
  if (host !== undefined && domain !== "" && domain !== host && !host.endsWith(`.${domain}`)) return "its Domain does not match the host";
  return undefined;
}

function covers(cookiePath, path) {
  return path.startsWith(cookiePath) && (path === cookiePath || cookiePath.endsWith("/") || path[cookiePath.length] === "/");
}

/** The path of a cookie without a Path: that of the request, up to its last slash. */
function defaultPath(requestPath) {
  const path = requestPath.split(/[?#]/)[0];
  return path.slice(0, Math.max(path.lastIndexOf("/"), 1)) || "/";
}
