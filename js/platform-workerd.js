// The environment in Workers, for frameworks that do not hand it to their middleware.

import { env, waitUntil } from "cloudflare:workers";

export { env };

/** The context of whatever request is under way. */
export const context = { waitUntil: (promise) => waitUntil(promise) };
