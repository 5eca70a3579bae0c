// Rows in Durable Objects: asks the object of a shard, `js/durable-object.js` or its twin in Rust.

/** Whether `value` is a namespace of Durable Objects. It has a method `get`, as a KV namespace does. */
export const isObjectNamespace = (value) => typeof value?.idFromName === "function";

/**
 * Rows in the objects of `namespace`, by name. `locationHint` says near whom an object is to be
 * made, `jurisdiction` where it has to stay.
 *
 * An error with a `code` says that nothing was written: `overloaded`, where the object has too much
 * to do and trying again makes it worse; `too_large`; `bad_request`, where object and Worker are of
 * different releases. After any other error it is not known whether a transaction took place.
 */
export class ObjectConnector {
  #namespace;
  #options;

  constructor(namespace, { locationHint, jurisdiction } = {}) {
    // The same name is another object in each jurisdiction, and another outside of all.
    this.#namespace = jurisdiction ? namespace.jurisdiction(jurisdiction) : namespace;
    this.#options = locationHint ? { locationHint } : undefined;
  }

  /** For each key its row, `{ value, metadata?, revision, expiresAt }`, or null. */
  async read(shard, keys) {
    const { rows } = await this.#ask(shard, "read", { keys });
    if (!Array.isArray(rows) || rows.length !== keys.length) throw unexpected("read");
    return rows;
  }

  /** `{ done: true }`, or `{ conflict }` with the row or null of each check, where one does not hold. */
  async transact(shard, checks, writes) {
    const answer = await this.#ask(shard, "transact", { checks, writes });
    if (answer.done !== true && answer.conflict?.length !== checks.length) throw unexpected("transact");
    return answer;
  }

  /** A page of the keys that begin with `prefix`; without a `cursor` it is the last. */
  async list(shard, prefix, cursor) {
    const page = await this.#ask(shard, "list", { prefix, cursor });
    if (!Array.isArray(page.keys)) throw unexpected("list");
    return page;
  }

  async #ask(shard, operation, body) {
    // A stub that has failed once may go on failing: each call makes its own.
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
