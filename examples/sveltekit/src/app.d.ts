import type { KvNamespace } from "edge-session";
import type { SessionLocals } from "edge-session/sveltekit";

interface Shop {
  cart: string[];
}

declare global {
  namespace App {
    interface Locals extends SessionLocals<Shop> {}
    // `npx wrangler types` writes the types of the whole environment.
    interface Platform {
      env: { SESSIONS: KvNamespace; SESSION_SECRET: string };
      ctx: { waitUntil(promise: Promise<unknown>): void };
    }
  }
}
