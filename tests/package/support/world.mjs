// A browser with one jar, and sessions in memory.

import { CookieJar } from "../../../pkg/cookie-jar.js";
import { ManualClock, MemoryConnector, Sessions } from "../../../pkg/node.js";

export const SECRET = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
export const START = Date.UTC(2026, 10, 1);

/** An isolated world: clock, storage, sessions, and a browser that stores cookies. */
export function world(options = {}) {
  const clock = new ManualClock(START);
  const memory = new MemoryConnector({ clock });
  const sessions = new Sessions(options.connector ?? memory, { secret: SECRET, clock, ...options.settings });
  return { clock, memory, sessions, browser: new Browser(sessions, clock) };
}

export class Browser {
  #jar;
  #sessions;
  #clock;

  constructor(sessions, clock, jar = new CookieJar(() => clock.now())) {
    this.#sessions = sessions;
    this.#clock = clock;
    this.#jar = jar;
  }

  get cookie() {
    return this.#jar.header() || null;
  }

  request(init = {}) {
    const headers = new Headers(init.headers);
    if (this.cookie) headers.set("cookie", this.cookie);
    return new Request("https://example.com/", { ...init, headers });
  }

  keep(response) {
    for (const line of response.headers.getSetCookie()) this.#jar.receive(line);
    const [refused] = this.#jar.refused;
    if (refused) throw new Error(`a browser refuses ${refused.line}: ${refused.why}`);
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

  /** The return value of `handler`. The response must be a success. */
  async ask(handler, init) {
    const { response, result } = await this.visit(handler, init);
    if (response.status !== 200) throw new Error(`answered ${response.status}: ${await response.text()}`);
    return result;
  }

  load(options) {
    return this.#sessions.load(this.request(), options);
  }

  clone() {
    return new Browser(this.#sessions, this.#clock, this.#jar.copy());
  }
}

/** For `assert.throws` and `assert.rejects`. */
export const code = (code) => (error) => {
  if (error?.code !== code) throw error;
  return true;
};
