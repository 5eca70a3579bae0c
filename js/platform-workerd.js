// The environment in Workers, for frameworks that do not pass it to their middleware.

import { env, waitUntil } from "cloudflare:workers";

export { env };

/** The context of whatever request is current, so it cannot tell requests apart. */
export const context = {
  waitUntil: (promise) => waitUntil(promise),
  [Symbol.for("edge-session.of-no-request")]: true,
};
