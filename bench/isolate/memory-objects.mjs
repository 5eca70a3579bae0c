// A namespace of Durable Objects in the isolate's own memory: what a Worker does to ask one, without
// what the object does. Its `rows` can be asked without any requests.

import { MemoryConnector } from "edge-session";

export class MemoryObjects {
  #memory = MemoryConnector.strong();
  calls = 0;

  rows = {
    read: (...args) => this.#count("read", args),
    transact: (...args) => this.#count("transact", args),
    list: (...args) => this.#count("list", args),
  };

  #count(operation, args) {
    this.calls += 1;
    return this.#memory[operation](...args);
  }

  idFromName(name) {
    return name;
  }

  get(shard) {
    return {
      fetch: async (url, { body }) => {
        const { keys, checks, writes, prefix, cursor } = JSON.parse(body);
        if (url.endsWith("/read")) return Response.json({ rows: await this.rows.read(shard, keys) });
        if (url.endsWith("/list")) return Response.json(await this.rows.list(shard, prefix, cursor));
        return Response.json(await this.rows.transact(shard, checks, writes));
      },
    };
  }
}
