// A session that another Worker keeps, reached by its HTTP interface over a service binding. No
// wasm, no secret and no KV namespace is needed here.

/** What the session Worker answered instead of what was asked for: a problem document (RFC 9457). */
export class SessionProblem extends Error {
  constructor(response) {
    super(`the session Worker answered ${response.status}`);
    this.response = response;
  }
}

/** The path of a value. URLs drop the segments ".", "..", and an empty one: they would name another resource. */
function pathOf(key) {
  if (["", ".", ".."].includes(key)) throw new Error(`the key ${JSON.stringify(key)} cannot be part of a URL`);
  return `session/data/${encodeURIComponent(key)}`;
}

/** The session of one request. Ask as often as you like, then give the answer to `answer`. */
export class RemoteSession {
  #worker;
  #request;
  /** Name and text of each cookie; what the session Worker sets takes the place of what came. */
  #cookies;
  #setCookies = new Map();

  constructor(worker, request) {
    this.#worker = worker;
    this.#request = request;
    const pairs = request.headers.get("cookie")?.split(/; */) ?? [];
    this.#cookies = pairs.map((pair) => ({ name: pair.split("=")[0], pair }));
  }

  /** What there is to know: key, data, owner, … */
  async show() {
    return (await this.#ask("GET", "session")).json();
  }

  async get(key) {
    const response = await this.#ask("GET", pathOf(key), undefined, [404]);
    return response.ok ? response.json() : undefined;
  }

  async set(key, value) {
    await this.#ask("PUT", pathOf(key), value);
  }

  /** Sets several keys by one request. */
  async update(values) {
    await this.#ask("PATCH", "session/data", values);
  }

  async remove(key) {
    await this.#ask("DELETE", pathOf(key));
  }

  /** A new key, for when what the session may do changes. */
  async cycle() {
    await this.#ask("POST", "session/cycle");
  }

  async destroy() {
    await this.#ask("DELETE", "session");
  }

  /** `response` with the cookies that the session Worker has set, kept by no cache. */
  answer(response) {
    const answer = new Response(response.body, response);
    for (const line of this.#setCookies.values()) answer.headers.append("set-cookie", line);
    answer.headers.set("cache-control", "no-store");
    answer.headers.append("vary", "Cookie");
    return answer;
  }

  async #ask(method, path, value, accepted = []) {
    // Under the address of the page, so that its Origin counts as the session's own.
    const response = await this.#worker.fetch(new URL(`/api/${path}`, this.#request.url), {
      method,
      headers: this.#headers(),
      body: value === undefined ? undefined : JSON.stringify(value),
      cf: this.#request.cf,
    });
    for (const line of response.headers.getSetCookie()) this.#keep(line);
    if (!response.ok && !accepted.includes(response.status)) throw new SessionProblem(response);
    return response;
  }

  #headers() {
    const { headers: from, method } = this.#request;
    const headers = new Headers();
    if (this.#cookies.length) headers.set("cookie", this.#cookies.map(({ pair }) => pair).join("; "));
    const names = ["user-agent"];
    // By these the session Worker refuses what another site asked for. A page that is merely shown
    // may be reached from anywhere.
    if (method !== "GET" && method !== "HEAD") names.push("origin", "sec-fetch-site");
    for (const name of names) if (from.has(name)) headers.set(name, from.get(name));
    return headers;
  }

  /** Takes over a cookie: for the next question, and for the answer. */
  #keep(line) {
    const [pair, ...attributes] = line.split("; ");
    const name = pair.split("=")[0];
    // Cookies of one name are different ones if these differ. Only the last of a name comes back here.
    const place = attributes.filter((attribute) => /^(Domain|Path|Partitioned)\b/i.test(attribute)).sort();
    this.#cookies = this.#cookies.filter((cookie) => cookie.name !== name);
    if (!attributes.includes("Max-Age=0")) this.#cookies.push({ name, pair });
    this.#setCookies.set([name, ...place].join("; "), line);
  }
}
