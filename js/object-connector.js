// Rows in Durable Objects: sends requests to the object of a shard (`js/durable-object.js`, or the same
// in Rust).

/** True if `value` is a namespace of Durable Objects. A KV namespace has a method `get` too. */
export const isObjectNamespace = (value) => typeof value?.idFromName === "function";

/**
 * Rows in the objects of `namespace`, by name. `locationHint` suggests where an object is created,
 * `jurisdiction` restricts where it runs.
 *
 * After an error with a `code` nothing was written: `overloaded` (the object has too much to do, and a
 * retry would make it worse), `too_large`, or `bad_request` (object and Worker are of different
 * releases). After any other error the transaction may or may not have happened.
 */
export class ObjectConnector {
  #namespace;
  #options;

  constructor(namespace, { locationHint, jurisdiction } = {}) {
    // The same name means a different object in each jurisdiction, and without one.
    this.#namespace = jurisdiction ? namespace.jurisdiction(jurisdiction) : namespace;
    this.#options = locationHint ? { locationHint } : undefined;
  }

  /** The row of each key, `{ value, metadata?, revision, expiresAt }` or null. */
  async read(shard, keys) {
    const { rows } = await this.#ask(shard, "read", { keys });
    if (!Array.isArray(rows) || rows.length !== keys.length) throw unexpected("read");
    return rows;
  }

  /** `{ done: true }`, or if a check fails, `{ conflict }` with the row or null for each check. */
  async transact(shard, checks, writes) {
    const answer = await this.#ask(shard, "transact", { checks, writes });
    if (answer.done !== true && answer.conflict?.length !== checks.length) throw unexpected("transact");
    return answer;
  }

  /** A page of the keys that start with `prefix`. The last page has no `cursor`. */
  async list(shard, prefix, cursor) {
    const page = await this.#ask(shard, "list", { prefix, cursor });
    if (!Array.isArray(page.keys)) throw unexpected("list");
    return page;
  }

  async #ask(shard, operation, body) {
    // A stub that has failed may keep failing, so each call creates its own.
    const stub = this.#namespace.get(this.#namespace.idFromName(shard), this.#options);
    let response;
    try {
      const init = { method: "POST", body: JSON.stringify(body) };
      response = await stub.fetch(`https://object/v1/${operation}`, init);
    } catch (thrown) {
      throw thrown?.overloaded === true ? refused("overloaded", thrown.message, thrown) : thrown;
    }
    const answer = await response.json();
    if (response.ok) return answer;
    if (typeof answer?.error !== "string") throw unexpected(operation, response.status);
    throw refused(answer.error, `the Durable Object refused ${operation}: ${answer.message}`);
  }
}

const refused = (code, message, cause) => Object.assign(new Error(message, { cause }), { code });

const unexpected = (operation, status = 200) =>
  new Error(`the Durable Object gave an unexpected answer to ${operation} (status ${status}): check that its class is SessionObject`);
