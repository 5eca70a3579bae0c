// `npm start`: the Worker on this machine, at http://127.0.0.1:8787, with KV on local disk.
// `npm start -- --store durable_object` keeps sessions in Durable Objects, on local disk too.
// Other arguments go to `wrangler dev`: `npm start -- --port 8790`.

import { buildWorker } from "./build.mjs";
import { Stop, exec, inRoot, main, say } from "./run.mjs";
import { ensureSecret } from "./secret.mjs";
import { setUp } from "./setup.mjs";

/** Turns off wrangler's telemetry, prompts, update check and log files. */
export const quietWrangler = {
  CI: "true",
  CLOUDFLARE_CF_FETCH_ENABLED: "false", // the default `request.cf` is sufficient
  WRANGLER_HIDE_BANNER: "true", // and the check for a newer version
  WRANGLER_NO_SKILLS_UPDATE_PROMPTS: "true",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
};

/** The kind of store, and the arguments for wrangler. */
function storeOf(args) {
  const at = args.findIndex((arg) => arg === "--store" || arg.startsWith("--store="));
  if (at < 0) return { given: args };
  const isJoined = args[at].includes("=");
  const store = isJoined ? args[at].slice("--store=".length) : args[at + 1];
  const stores = ["kv", "durable_object"];
  if (!stores.includes(store)) throw new Stop(`--store ${store ?? ""}: use one of ${stores.join(", ")}`);
  return { store, given: args.toSpliced(at, isJoined ? 1 : 2) };
}

await main(async () => {
  const { store, given } = storeOf(process.argv.slice(2));
  await setUp();
  await buildWorker();
  if (ensureSecret(inRoot(".dev.vars"))) say("secret: made SESSION_SECRET in .dev.vars, for local use");

  const has = (name) => given.some((arg) => arg === name || arg.startsWith(`${name}=`));
  const args = [
    "dev",
    "--local",
    ...(has("--ip") ? [] : ["--ip", "127.0.0.1"]),
    ...(has("--persist-to") ? [] : ["--persist-to", inRoot(".wrangler", "state")]),
    // What the console shows of a request.
    ...["DEMO", "SESSION_SERVER_TIMING"].flatMap((name) =>
      given.some((arg) => arg.startsWith(`${name}:`)) ? [] : ["--var", `${name}:true`],
    ),
    ...(store ? ["--var", `SESSION_STORAGE:${store}`] : []),
    ...given,
  ];
  const wrangler = inRoot("node_modules", "wrangler", "bin", "wrangler.js");
  const { status } = await exec(process.execPath, [wrangler, ...args], {
    env: quietWrangler,
    tee: true,
    onLine(line) {
      const url = line.match(/\bReady on (http\S+)/i)?.[1];
      if (url) say(`edge-session runs at ${url} (Ctrl-C stops it; sessions stay in .wrangler/state)`);
    },
  });
  if (status !== 0) throw new Stop(`wrangler dev ended with exit status ${status}`);
});
