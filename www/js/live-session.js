// What is known of the session now, and the ways to change it.

export class LiveSession extends EventTarget {
  /** The last answer of `GET /api/session`, or null before the first. */
  value = null;
  /** What kept the last look at the session from an answer, or null. */
  problem = null;
  /** Where the Worker keeps sessions, or null as long as it has not said so. */
  store = null;
  /** Whether the key cookie comes back: null until a request has shown it. */
  cookiesKept = null;

  #api;

  constructor(api) {
    super();
    this.#api = api;
  }

  /** Whether there is a session. Just after its end the answers still name its key, but hold nothing. */
  get isLive() {
    return this.value !== null && this.value.key !== null && !this.value.isNew;
  }

  async refresh() {
    if (this.store === null) this.#learnStore();
    try {
      const session = await this.#api.session();
      if (session.key !== null) this.cookiesKept = true;
      this.#show(session);
    } catch (problem) {
      this.#fail(problem);
    }
  }

  /** Asks something that does not change the session, `(api) => …`. */
  async ask(call) {
    try {
      return await call(this.#api);
    } catch (problem) {
      if (problem.unreachable) this.#fail(problem);
      throw problem;
    }
  }

  /** Runs one change, `(api) => …`, and shows what it made; a refusal is thrown. */
  async change(call) {
    const before = this.value?.key ?? null;
    let answer;
    try {
      answer = await call(this.#api);
    } catch (problem) {
      if (problem.unreachable) this.#fail(problem);
      else if (problem.status === 409 || problem.status === 503) await this.refresh();
      throw problem;
    }
    if (answer === null) return this.refresh();
    this.#show(answer);
    if (answer.key !== null && answer.key !== before) await this.#lookForCookie();
  }

  async #learnStore() {
    this.store = await this.#api.store();
    const isFirst = this.value === null && this.problem === null;
    if (this.store !== null && !isFirst) this.#tell();
  }

  // A new key came with a cookie. Only the next request can show that it was kept.
  async #lookForCookie() {
    await this.refresh();
    if (this.problem || this.value.key !== null) return;
    const { outcome = "new" } = this.value;
    if (outcome !== "new") return;
    this.cookiesKept = false;
    this.#tell();
  }

  #show(session) {
    this.value = session;
    this.problem = null;
    this.#tell();
  }

  #fail(problem) {
    this.problem = problem;
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
