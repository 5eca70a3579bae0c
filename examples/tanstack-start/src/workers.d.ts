// What this Worker uses of its environment. `npx wrangler types` writes the types of all of it.
declare module "cloudflare:workers" {
  export const env: { SESSIONS: import("edge-session").KvNamespace; SESSION_SECRET: string };
  export function waitUntil(promise: Promise<unknown>): void;
}
