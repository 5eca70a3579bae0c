// The environment in Workers, for frameworks that do not pass it to their middleware.

import { env, waitUntil } from "cloudflare:workers";

export { env };

/** The context of the current request. */
export const context = { waitUntil: (promise) => waitUntil(promise) };
