// The built application, unchanged, with a clock and a namespace that a test can disturb. It is told by
// `POST /__test` with `{ "ahead": seconds, "isDown": boolean }`, and answers with what it has counted
// since then.

import { withEnv } from "cloudflare:workers";

import app from "./app/MAIN";

const realNow = Date.now;
let ahead = 0;
let isDown = false;
let counts;
let environment;

Date.now = () => realNow() + ahead * 1000;
reset();

function reset() {
  counts = { requests: 0, reads: 0, puts: 0 };
}

function disturbed(namespace) {
  const call =
    (method, count) =>
    (...args) => {
      if (count) counts[count] += 1;
      if (isDown) throw new Error("the namespace is down");
      return namespace[method](...args);
    };
  return { get: call("get", "reads"), put: call("put", "puts"), delete: call("delete"), list: call("list") };
}

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/__test") {
      const counted = counts;
      ({ ahead = ahead, isDown = isDown } = await request.json());
      reset();
      return Response.json(counted);
    }
    counts.requests += 1;
    environment ??= { ...env, SESSIONS: disturbed(env.SESSIONS) };
    return withEnv(environment, () => app.fetch(request, environment, ctx));
  },
};
