// The time limit on the store (SESSION_STORE_TIMEOUT).

/** The store did not answer in time. A write may or may not have happened. */
export class Timeout extends Error {}

/**
 * The time limit for the operations of one session. They share a timer: one for each operation would
 * cost more than the operation's own work.
 */
export class TimeLimit {
  #config;
  #milliseconds;
  /** The operations since `answered`, in the order of their ends. */
  #waiting = [];
  #timer;
  /** When the timer fires. */
  #due;

  constructor(config) {
    this.#config = config;
    this.#milliseconds = config.storeTimeout * 1000;
  }

  /**
   * The result of an operation. Throws a Timeout if there is none in time: in `milliseconds`, which are at
   * most those of the settings. All operations that are waiting have the same.
   */
  within(answer, milliseconds = this.#milliseconds) {
    if (typeof answer?.then !== "function") return answer;
    return new Promise((resolve, reject) => {
      const end = Date.now() + milliseconds;
      this.#waiting.push({ end, milliseconds, reject });
      // A timer that was started for an earlier operation may be later than this end.
      if (this.#timer !== undefined && end < this.#due) this.stop();
      if (this.#timer === undefined) this.#start(end, milliseconds);
      Promise.resolve(answer).then(resolve, reject);
    });
  }

  /** All operations have been answered. */
  answered() {
    this.#waiting.length = 0;
  }

  /** Stops the timer. */
  stop() {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #start(end, milliseconds) {
    this.#due = end;
    this.#timer = later(() => this.#look(), milliseconds);
  }

  /** Operations that were answered meanwhile ignore the rejection. */
  #look() {
    this.#timer = undefined;
    // A clock may stand still or be set back.
    const now = Math.max(Date.now(), this.#due);
    while (this.#waiting[0]?.end <= now) {
      const name = this.#config.nameOf("SESSION_STORE_TIMEOUT", "storeTimeout");
      const { milliseconds, reject } = this.#waiting.shift();
      reject(new Timeout(`the store did not answer within ${milliseconds / 1000} seconds (${name})`));
    }
    const [next] = this.#waiting;
    if (next) this.#start(next.end, next.end - now);
  }
}

/** Resolves after this many milliseconds, or immediately where there are no timers. */
export const pause = (milliseconds) =>
  new Promise((resolve) => {
    if (later(resolve, milliseconds) === undefined) resolve();
  });

/** Starts a timer; undefined where there are none, as at module scope. */
function later(act, milliseconds) {
  try {
    return setTimeout(act, milliseconds);
  } catch {
    return undefined;
  }
}
