import { betterAuth, type BetterAuthOptions } from "better-auth";
import { secondaryStorage } from "edge-session/better-auth";
import type { ObjectNamespace } from "edge-session";

export interface Env {
  DB: BetterAuthOptions["database"];
  SESSION_OBJECTS: ObjectNamespace;
  BETTER_AUTH_SECRET: string;
}

/** For one request: in Workers, a request must not wait for the work of another. */
export const authOf = (env: Env, request: Request) =>
  betterAuth({
    baseURL: new URL(request.url).origin,
    secret: env.BETTER_AUTH_SECRET,
    database: env.DB,
    secondaryStorage: secondaryStorage(env.SESSION_OBJECTS),
    emailAndPassword: { enabled: true },
    rateLimit: { enabled: true },
    // The only header with the client's address that the client cannot set.
    advanced: { ipAddress: { ipAddressHeaders: ["cf-connecting-ip"] } },
  });
