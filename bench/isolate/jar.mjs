// A browser's cookies of one site.

import { clock } from "./clock.mjs";

export class Jar {
  #cookies = new Map();

  take(response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(";");
      const mark = pair.indexOf("=");
      const name = pair.slice(0, mark).trim();
      let ends = Infinity;
      for (const attribute of attributes) {
        const [key, value] = attribute.trim().split("=");
        // Max-Age has the last word, whatever the order.
        if (/^max-age$/i.test(key)) ends = clock.now + Number(value) * 1000;
        else if (/^expires$/i.test(key) && ends === Infinity) ends = Date.parse(value);
      }
      if (ends <= clock.now) this.#cookies.delete(name);
      else this.#cookies.set(name, { value: pair.slice(mark + 1).trim(), ends });
    }
  }

  /** The Cookie header of a request at `now`. */
  header(now = clock.now) {
    const pairs = [];
    for (const [name, { value, ends }] of this.#cookies) if (ends > now) pairs.push(`${name}=${value}`);
    return pairs.length === 0 ? undefined : pairs.join("; ");
  }
}
