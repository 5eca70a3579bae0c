// A browser with one jar, over sessions in memory.

import { ManualClock, MemoryConnector, Sessions } from "../../../pkg/node.js";

export const SECRET = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
export const START = Date.UTC(2026, 10, 1);

/** A world of its own: clock, storage, sessions, and a browser that keeps what they set. */
export function world(options = {}) {
  const clock = new ManualClock(START);
  const memory = new MemoryConnector({ clock });
  const sessions = new Sessions(options.connector ?? memory, { secret: SECRET, clock, ...options.settings });
  return { clock, memory, sessions, browser: new Browser(sessions, clock) };
}

export class Browser {
  #cookies = new Map();
  #sessions;
  #clock;

  constructor(sessions, clock) {
    this.#sessions = sessions;
    this.#clock = clock;
  }

  get cookie() {
    const now = this.#clock.now();
    const sent = [...this.#cookies].filter(([, { end }]) => now < end);
    return sent.length ? sent.map(([name, { value }]) => `${name}=${value}`).join("; ") : null;
  }

  request(init = {}) {
    const headers = new Headers(init.headers);
    if (this.cookie) headers.set("cookie", this.cookie);
    return new Request("https://example.com/", { ...init, headers });
  }

  keep(response) {
    const setCookies = response.headers.getSetCookie();
    for (const text of setCookies) {
      const [pair, ...attributes] = text.split("; ");
      const at = pair.indexOf("=");
      const maxAge = attributes.find((one) => one.startsWith("Max-Age="))?.slice(8);
      const end = maxAge === undefined ? Infinity : this.#clock.now() + Number(maxAge) * 1000;
      this.#cookies.set(pair.slice(0, at), { value: pair.slice(at + 1), end });
    }
    return response;
  }

  /** One request, handled by `handler`. */
  async visit(handler, { sessions = this.#sessions, ...init } = {}) {
    let result;
    const response = await sessions.handle(this.request(init), null, async (session, request) => {
      result = await handler(session, request);
      return result instanceof Response ? result : new Response("ok");
    });
    this.keep(response);
    return { response, result };
  }

  /** What `handler` gives back, over a response that must be a success. */
  async ask(handler, init) {
    const { response, result } = await this.visit(handler, init);
    if (response.status !== 200) throw new Error(`answered ${response.status}: ${await response.text()}`);
    return result;
  }

  load(options) {
    return this.#sessions.load(this.request(), options);
  }

  clone() {
    const copy = new Browser(this.#sessions, this.#clock);
    copy.#cookies = new Map(this.#cookies);
    return copy;
  }
}

/** For `assert.throws` and `assert.rejects`. */
export const code = (code) => (error) => {
  if (error?.code !== code) throw error;
  return true;
};
