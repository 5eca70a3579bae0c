// A browser's cookies (RFC 6265bis), and the HTTP client below it.

import { Agent, request as httpRequest } from "node:http";

import { CookieJar } from "../../../js/cookie-jar.js";

// Bytes, not text, because the Worker must get them unchanged, without the checks of `fetch`.
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
    /** Lower-case names. Repeated fields are joined, except for Set-Cookie. */
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

/** A browser on one host that counts as https, as `localhost` does in real ones. */
export class Browser {
  #jar;

  constructor(origin, { now = Date.now, jar } = {}) {
    this.origin = origin;
    this.now = now;
    this.#jar = jar ?? new CookieJar(() => this.now(), new URL(origin).hostname);
    /** Every Set-Cookie line this browser has been sent. */
    this.received = [];
  }

  /** Cookies that a browser would refuse, which tests expect to be none: [{ line, why }]. */
  get refused() {
    return this.#jar.refused;
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
    return this.#jar.live.map((cookie) => cookie.name).sort();
  }

  /** The cookie of this name, or undefined. */
  get(name) {
    return this.#jar.live.find((cookie) => cookie.name === name);
  }

  /** Replaces the value of a cookie, as only its thief or its owner could. */
  tamper(name, value) {
    const cookie = this.get(name);
    if (!cookie) throw new Error(`no cookie ${name}`);
    cookie.value = value;
  }

  remove(name) {
    this.#jar.remove(name);
  }

  /** Another browser with a copy of every cookie: a thief, or the same person's other location. */
  clone(origin = this.origin) {
    return new Browser(origin, { now: this.now, jar: this.#jar.copy() });
  }

  cookieHeader(path, options) {
    return this.#jar.header(path, options);
  }

  store(line, path) {
    this.received.push(line);
    this.#jar.receive(line, { path });
  }

  close() {
    this.#jar.close();
  }
}
