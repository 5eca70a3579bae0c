// The built application, unchanged, with a clock and objects that a test can disturb. It is told by
// `POST /__test` with `{ "ahead": seconds, "isDown": boolean, "sql": [statement…] }`, and answers with
// what it has counted since then.

import { WorkerEntrypoint } from "cloudflare:workers";
import app from "./app/MAIN";

export { SessionObject } from "./app/MAIN";

const RealDate = Date;
let ahead = 0;
let isDown = false;
let counts = { requests: 0, objects: 0 };

// better-auth asks both `new Date()` and `Date.now()`; the objects run in the same isolate.
globalThis.Date = class extends RealDate {
  constructor(...args) {
    super(...(args.length ? args : [Date.now()]));
  }

  static now() {
    return RealDate.now() + ahead * 1000;
  }
};

const disturbed = (namespace) => ({
  idFromName: (name) => namespace.idFromName(name),
  get(...args) {
    counts.objects += 1;
    if (isDown) throw new Error("the objects are down");
    return namespace.get(...args);
  },
});

export default class extends WorkerEntrypoint {
  async fetch(request) {
    if (new URL(request.url).pathname === "/__test") {
      const counted = counts;
      const { sql = [], ...rest } = await request.json();
      ({ ahead = ahead, isDown = isDown } = rest);
      counts = { requests: 0, objects: 0 };
      for (const statement of sql) await this.env.DB.prepare(statement).run();
      return Response.json(counted);
    }
    counts.requests += 1;
    return app.fetch(request, { ...this.env, SESSION_OBJECTS: disturbed(this.env.SESSION_OBJECTS) }, this.ctx);
  }
}
