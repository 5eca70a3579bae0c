// This package, from JavaScript, with sessions in Durable Objects.

import ours from "./ours-js.mjs";

/** `new Sessions` recognises which kind of namespace it is given. */
const onObjects = (env) => {
  env.SESSIONS = env.SESSION_OBJECTS;
  return env;
};

export default {
  ...ours,
  name: "edge-session, from JavaScript, in Durable Objects",
  fetch: (request, env, ctx) => ours.fetch(request, onObjects(env), ctx),
  list: (env, ...rest) => ours.list(onObjects(env), ...rest),
  revokeAll: (env, ...rest) => ours.revokeAll(onObjects(env), ...rest),
};
