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
    let answer;
    try {
      answer = await call(this.#api);
    } catch (problem) {
      await this.#refused(problem);
      throw problem;
    }
    // The API answers again: so may the session.
    if (this.problem) await this.refresh();
    return answer;
  }

  /** Runs one change, `(api) => …`, and shows what it made; a refusal is thrown. */
  async change(call) {
    const before = this.value?.key ?? null;
    let answer;
    try {
      answer = await call(this.#api);
    } catch (problem) {
      await this.#refused(problem);
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

  // These refusals say that the session may not be what the page shows: nobody is logged in, or it has ended,
  // or storage is in trouble.
  async #refused(problem) {
    if (problem.unreachable) this.#fail(problem);
    else if (this.problem || [401, 409, 503].includes(problem.status)) await this.refresh();
  }

  #fail(problem) {
    this.problem = problem;
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
