// A browser as far as cookies go (RFC 6265bis), and the HTTP client below it.

import { Agent, request as httpRequest } from "node:http";

// Bytes, not text: what `fetch` would normalise or refuse must reach the Worker as it is.
export const agent = new Agent({ keepAlive: true });

/**
 * One HTTP exchange. `headers` is sent as given, nothing is added but Host and the body's length,
 * which a Transfer-Encoding of the caller's replaces.
 *
 * @returns {Promise<Answer>}
 */
export function exchange(origin, path, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(origin);
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const sized = bytes === undefined || "Transfer-Encoding" in headers;
    const length = sized ? {} : { "Content-Length": bytes.length };
    const options = { agent, hostname, port, path, method, headers: { ...headers, ...length } };
    const request = httpRequest(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve(new Answer(response, Buffer.concat(chunks).toString())));
    });
    request.on("error", reject);
    request.end(bytes);
  });
}

export class Answer {
  constructor({ statusCode, headers }, text) {
    this.status = statusCode;
    /** Lower-case names; what came more than once is joined, but for Set-Cookie. */
    this.headers = headers;
    /** The raw Set-Cookie lines, in order. */
    this.setCookies = headers["set-cookie"] ?? [];
    this.text = text;
  }

  get json() {
    try {
      return JSON.parse(this.text);
    } catch {
      throw new Error(`not JSON: ${this.status} ${JSON.stringify(this.text.slice(0, 200))}`);
    }
  }
}

/**
 * Name, value and attributes (lower-case names; true for one without a value) of a Set-Cookie
 * line.
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
  return { name: pair.slice(0, equals).trim(), value: pair.slice(equals + 1).trim(), attributes };
}

/**
 * A browser on one host that counts as https, as `localhost` does in real ones.
 *
 * Only what our cookies can meet is modelled: one host, no public suffixes. Cookies that a
 * browser would refuse are in `refused`, which tests expect to be empty.
 */
export class Browser {
  /** name + path to { name, value, path, expiresAt, sameSite, attributes, order }. */
  #cookies = new Map();
  #order = 0;

  constructor(origin, { now = Date.now } = {}) {
    this.origin = origin;
    this.now = now;
    /** [{ line, why }] */
    this.refused = [];
    /** Every Set-Cookie line this browser has been sent. */
    this.received = [];
  }

  /**
   * A request as a browser sends it. `from` is who started it: a page of this site
   * ("same-origin", the default), the address bar ("none") or another site ("cross-site").
   * `headers` are added to, or replace, what the browser would send.
   */
  async fetch(path, { method = "GET", headers = {}, body, from = "same-origin" } = {}) {
    const cookie = this.cookieHeader(path, { method, from });
    const answer = await exchange(this.origin, path, {
      method,
      body,
      headers: {
        "Sec-Fetch-Site": from,
        ...(cookie === "" ? {} : { Cookie: cookie }),
        ...(method === "GET" || method === "HEAD" || from !== "same-origin"
          ? {}
          : { Origin: this.origin }),
        ...headers,
      },
    });
    for (const line of answer.setCookies) this.store(line, path);
    return answer;
  }

  /** `fetch` with a JSON body. */
  send(method, path, value, options = {}) {
    const headers = { "Content-Type": "application/json", ...options.headers };
    return this.fetch(path, { ...options, method, headers, body: JSON.stringify(value) });
  }

  get names() {
    return this.#live().map((cookie) => cookie.name).sort();
  }

  /** The cookie of this name, or undefined. */
  get(name) {
    return this.#live().find((cookie) => cookie.name === name);
  }

  /** Replaces the value of a cookie, as only its thief or its owner could. */
  tamper(name, value) {
    const cookie = this.get(name);
    if (!cookie) throw new Error(`no cookie ${name}`);
    cookie.value = value;
  }

  remove(name) {
    for (const [key, cookie] of this.#cookies) if (cookie.name === name) this.#cookies.delete(key);
  }

  /** Another browser with a copy of every cookie: a thief, or the same person's other location. */
  clone(origin = this.origin) {
    const other = new Browser(origin, { now: this.now });
    for (const [key, cookie] of this.#cookies) other.#cookies.set(key, { ...cookie });
    other.#order = this.#order;
    return other;
  }

  cookieHeader(path, { method = "GET", from = "same-origin" } = {}) {
    const safe = method === "GET" || method === "HEAD";
    const sent = this.#live().filter(
      (cookie) =>
        pathMatches(path, cookie.path) &&
        (from !== "cross-site" ||
          cookie.sameSite === "none" ||
          // A top-level navigation: the only cross-site request that carries a Lax cookie.
          (cookie.sameSite === "lax" && safe)),
    );
    sent.sort((a, b) => b.path.length - a.path.length || a.order - b.order);
    return sent.map(({ name, value }) => `${name}=${value}`).join("; ");
  }

  store(line, requestPath = "/") {
    this.received.push(line);
    const { name, value, attributes } = parseSetCookie(line);
    const refuse = (why) => void this.refused.push({ line, why });

    if (name.length + value.length > 4096) return refuse("over 4096 bytes");
    if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(line)) return refuse("a control character");
    const path = String(attributes.path ?? "").startsWith("/")
      ? attributes.path
      : defaultPath(requestPath);
    const sameSite = String(attributes.samesite ?? "lax").toLowerCase();
    if (sameSite === "none" && !attributes.secure) return refuse("SameSite=None without Secure");
    if (/^__(secure|host)-/i.test(name) && !attributes.secure) {
      return refuse("a prefix without Secure");
    }
    if (/^__host-/i.test(name) && ("domain" in attributes || attributes.path !== "/")) {
      return refuse("__Host- with a Domain, or with another Path than /");
    }
    const { hostname } = new URL(this.origin);
    if (attributes.domain && attributes.domain.replace(/^\./, "") !== hostname) {
      return refuse("another Domain");
    }

    const key = `${name};${path}`;
    const expiresAt = this.#expiry(attributes);
    if (expiresAt <= this.now()) return void this.#cookies.delete(key);
    // A replaced cookie keeps its place in the Cookie header.
    const order = this.#cookies.get(key)?.order ?? (this.#order += 1);
    this.#cookies.set(key, { name, value, path, expiresAt, sameSite, attributes, order });
  }

  /** Milliseconds since the epoch; Infinity for one that lives until the browser is closed. */
  #expiry(attributes) {
    if (/^-?\d+$/.test(attributes["max-age"])) {
      const seconds = Number(attributes["max-age"]);
      return seconds <= 0 ? -Infinity : this.now() + seconds * 1000;
    }
    const date = Date.parse(attributes.expires);
    return Number.isNaN(date) ? Infinity : date;
  }

  /** Closing takes every cookie that has no end of its own. */
  close() {
    for (const [key, cookie] of this.#cookies) {
      if (cookie.expiresAt === Infinity) this.#cookies.delete(key);
    }
  }

  #live() {
    return [...this.#cookies.values()].filter((cookie) => cookie.expiresAt > this.now());
  }
}

function pathMatches(requestPath, cookiePath) {
  const path = requestPath.split("?")[0];
  if (path === cookiePath) return true;
  return path.startsWith(cookiePath) && (cookiePath.endsWith("/") || path[cookiePath.length] === "/");
}

function defaultPath(requestPath) {
  const path = requestPath.split("?")[0];
  return path.slice(0, Math.max(path.lastIndexOf("/"), 1)) || "/";
}
