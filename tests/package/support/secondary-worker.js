// Calls the storage for better-auth as a test asks, in parallel, and looks into its objects.

import { Sessions } from "../../../pkg/workerd.js";
import { secondaryStorage } from "../../../pkg/better-auth.js";
import { SessionObject as Implementation } from "../../../pkg/durable-object.js";

/** The class itself, beside a way to look into its storage. */
export class SessionObject extends Implementation {
  #ended = Promise.withResolvers();

  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/test/tables") {
      return Response.json(this.ctx.storage.sql.exec("SELECT name FROM sqlite_master").toArray());
    }
    if (pathname === "/test/alarm") {
      await this.#ended.promise;
      return new Response();
    }
    return super.fetch(request);
  }

  async alarm() {
    await super.alarm();
    this.#ended.resolve();
  }
}

async function settle(call) {
  try {
    return { result: await call() };
  } catch ({ name, code, message }) {
    return { error: { name, code, message } };
  }
}

const actions = {
  "/calls": async ({ calls, options }, env) => {
    const storage = secondaryStorage(env.SESSION_OBJECTS, options);
    return Promise.all(calls.map(([method, ...args]) => settle(() => storage[method](...args))));
  },
  /** What the objects that the calls use answer to `path`. */
  "/look": async ({ calls, path }, { SESSION_OBJECTS: namespace }) => {
    const names = [];
    const spy = { idFromName: (name) => names.push(name) && namespace.idFromName(name), get: (id) => namespace.get(id) };
    const storage = secondaryStorage(spy);
    for (const [method, ...args] of calls) await storage[method](...args);
    const answer = await namespace.get(namespace.idFromName(names.at(-1))).fetch(`https://object${path}`);
    return { name: names.at(-1), text: await answer.text() };
  },
};

export default {
  async fetch(request, env, ctx) {
    const action = actions[new URL(request.url).pathname];
    if (action) return Response.json(await action(await request.json(), env));
    const sessions = Sessions.fromEnv(env);
    return sessions.handle(request, ctx, (session) => {
      session.update({ views: session.get("views", 0) + 1 });
      return new Response(session.get("views"));
    });
  },
};
