// Calls between JavaScript and wasm, per request of the package: `npm run crossings`.
//
// Counted are calls into what the crate exports, and all calls that wasm makes out of itself. The
// allocations by which the glue hands texts over are not. Options are those of the request before.
// `npm run crossings -- --update` writes the counts into bench/budget.json, which they are compared
// with otherwise.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { buildPackage } from "../scripts/build-package.mjs";
import { Stop, inRoot, main } from "../scripts/run.mjs";
import { setUp } from "../scripts/setup.mjs";
import { census, countCrossings } from "./isolate/census.mjs";

const BUDGET = inRoot("bench", "budget.json");
const SECRET = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
/** Requests of which each count is the mean. */
const REQUESTS = 20;
/** What the glue does to hand values over, and to set itself up. */
const GLUE = /^__wbindgen_(malloc|realloc|free|start|init_externref_table|destroy_closure)$|^__externref_/;

/** A KV binding over a map. */
class Kv {
  #entries = new Map();

  async get(keys) {
    if (typeof keys === "string") return this.#entries.get(keys) ?? null;
    return new Map(keys.map((key) => [key, this.#entries.get(key) ?? null]));
  }

  async put(key, value) {
    this.#entries.set(key, value);
  }

  async delete(key) {
    this.#entries.delete(key);
  }

  async list({ prefix }) {
    const keys = [...this.#entries.keys()].filter((name) => name.startsWith(prefix));
    return { keys: keys.map((name) => ({ name })), list_complete: true };
  }
}

const ok = () => new Response("ok");
const read = (session) => new Response(String(session.get("views")));
const save = (session) => {
  session.set("views", (session.get("views") ?? 0) + 1);
  return ok();
};
const login = (session) => {
  session.bind("ada");
  session.set("views", 1);
  return ok();
};
const logout = async (session) => {
  await session.destroy();
  return ok();
};

/** What is counted: the cookies that come, and what the page does with its session. */
const OPERATIONS = {
  "no cookie, untouched, handleLazy": { page: ok, lazy: true },
  "no cookie, untouched, handle": { page: ok },
  "valid cookie, untouched, handleLazy": { cookie: "valid", page: ok, lazy: true },
  "valid cookie, untouched, handle": { cookie: "valid", page: ok },
  "valid cookie, untouched, handle, isolate's memory": { cookie: "valid", page: ok, memory: true },
  "forged cookie": { cookie: "forged", page: read },
  read: { cookie: "valid", page: read },
  "read, isolate's memory": { cookie: "valid", page: read, memory: true },
  "first save": { page: save },
  "read and save": { cookie: "valid", page: save },
  login: { cookie: "anonymous", page: login },
  destroy: { cookie: "valid", page: logout },
};

const sum = (counts) => Object.values(counts).reduce((all, count) => all + count, 0) / REQUESTS;
const ours = (counts) => Object.fromEntries(Object.entries(counts).filter(([name]) => !GLUE.test(name)));

/** The counts of every operation, and by name what was called. */
export async function crossings() {
  countCrossings();
  const { Sessions } = await import("../pkg/node.js");
  const found = {};
  for (const [name, { cookie, page, lazy, memory }] of Object.entries(OPERATIONS)) {
    const kv = new Kv();
    const open = (namespace) => new Sessions(namespace, { secret: SECRET, isolateCacheTtl: memory ? 10 : 0 });
    const request = (headers) => new Request("https://example.com/", { headers: headers ? { cookie: headers } : {} });
    const run = (header) => {
      const sessions = open(kv);
      return lazy ? sessions.handleLazy(request(header), null, page) : sessions.handle(request(header), null, page);
    };
    const cookies = async () => {
      if (cookie === undefined) return undefined;
      const first = await open(kv).handle(request(), null, save);
      const header = first.headers.getSetCookie().map((field) => field.split(";")[0]).join("; ");
      // Of the right length and form, and with a tag that is none.
      return cookie === "forged" ? header.replace(/(__Host-session=.{100}).{8}/, "$1AAAAAAAA") : header;
    };
    const headers = [];
    for (let i = 0; i < REQUESTS + 2; i += 1) headers.push(await cookies());
    for (const header of headers.splice(0, 2)) await run(header);
    if (memory) for (const header of headers) await run(header);
    census();
    for (const header of headers) await run(header);
    const { into, outOf } = census();
    found[name] = { into: sum(ours(into)), outOf: sum(ours(outOf)), detail: { into: ours(into), outOf: ours(outOf) }, all: [sum(into), sum(outOf)] };
  }
  return found;
}

/** The counts as the budget has them. */
const counts = (found) =>
  Object.fromEntries(Object.entries(found).map(([name, { into, outOf }]) => [name, { into, outOf }]));

/** Compares with bench/budget.json. */
export async function checkCrossings({ update = false, detail = false } = {}) {
  const found = await crossings();
  const budget = JSON.parse(readFileSync(BUDGET, "utf8"));
  const off = [];
  console.log("calls into wasm, out of it (all of the glue's too), per request");
  for (const [name, { into, outOf, all, detail: calls }] of Object.entries(found)) {
    const wanted = budget.crossings?.[name];
    const same = wanted?.into === into && wanted?.outOf === outOf;
    if (!same) off.push(`${name}: ${into}, ${outOf}, the budget says ${wanted ? `${wanted.into}, ${wanted.outOf}` : "nothing"}`);
    console.log(`${name.padEnd(52)} ${String(into).padStart(5)}, ${String(outOf).padStart(5)}   (${all.join(", ")})`);
    if (detail) {
      for (const [kind, by] of Object.entries(calls)) {
        for (const [call, count] of Object.entries(by)) console.log(`    ${kind} ${call} ${count / REQUESTS}`);
      }
    }
  }
  if (update) {
    writeFileSync(BUDGET, `${JSON.stringify({ ...budget, crossings: counts(found) }, null, 2)}\n`);
  } else if (off.length) {
    throw new Stop(`${off.join("; ")}. If that is meant: npm run crossings -- --update`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    const args = process.argv.slice(2);
    const unknown = args.find((arg) => !["--update", "--detail", "--built"].includes(arg));
    if (unknown) throw new Stop(`unknown option ${unknown}: there are --update, --detail and --built (count what is in pkg/)`);
    if (!args.includes("--built")) {
      await setUp();
      await buildPackage();
    }
    await checkCrossings({ update: args.includes("--update"), detail: args.includes("--detail") });
  });
}
