// This package, from JavaScript, with sessions in Durable Objects, without the requests to them.

import ours from "./ours-js.mjs";

export default {
  ...ours,
  name: "edge-session, from JavaScript, rows in memory",
  fetch(request, env, ctx) {
    env.SESSIONS = env.SESSION_OBJECTS.rows;
    return ours.fetch(request, env, ctx);
  },
};
