// The contenders by name, and their isolates.

import { bundle } from "./bundle.mjs";
import { Installed } from "./workerd.mjs";

// In the order of the tables.
export const CONTENDERS = [
  "floor",
  "ours-js",
  "ours-rust",
  "react-router",
  "hono-session",
  "hono-sessions",
  "better-auth",
  "express-session",
  "iron-session",
  "h3",
];
export const OURS = ["ours-js", "ours-rust"];
/** Ours in Durable Objects: measured beside the others, which all use KV or a cookie. */
export const IN_OBJECTS = "ours-objects";
/** The same, without the requests to objects. */
export const IN_ROWS = "ours-rows";
/** Keep their sessions in KV: what ours are compared with. */
export const KV_PEERS = ["react-router", "hono-session", "hono-sessions", "better-auth"];

/**
 * A contender in its driver, installed. `counting`: with its crossings into wasm counted. `objects`:
 * with the runtime's own Durable Objects instead of those in memory. `sessionWasm`: with another build
 * of the package's wasm. `before`: source that the Worker runs first.
 */
export async function install(name, { counting = false, minify = false, objects = false, sessionWasm, before = "" } = {}) {
  const inObjects = name === IN_OBJECTS || name === IN_ROWS;
  const source = `
    import "./isolate/clock.mjs";
    ${counting ? 'import "./isolate/counting.mjs";' : ""}
    import "./isolate/census.mjs";
    ${before}
    import contender from "./contenders/${name}.mjs";
    import { drive } from "./isolate/driver.mjs";
    ${objects ? 'import * as objects from "./isolate/objects.mjs"; export const { SessionObject } = objects;' : ""}
    ${inObjects && !objects ? 'import { MemoryObjects } from "./isolate/memory-objects.mjs";' : ""}
    export default drive(contender, ${objects ? "{ objects }" : inObjects ? "{ memory: new MemoryObjects() }" : "{}"});
  `;
  return new Installed(await bundle(source, { minify, sessionWasm }), { objects });
}

/** Started isolates of the contenders, by name. */
export async function startAll(names) {
  const isolates = {};
  for (const name of names) isolates[name] = await (await install(name)).start();
  return isolates;
}

/** What a contender calls itself. */
export async function titleOf(name) {
  const { readFile } = await import("node:fs/promises");
  const source = await readFile(new URL(`../contenders/${name}.mjs`, import.meta.url), "utf8");
  return /^ {2}name: "(.*)",$/m.exec(source)[1];
}
