// `npm start`: the Worker on this machine, at http://127.0.0.1:8787, with KV on local disk.
// Arguments go to `wrangler dev`: `npm start -- --port 8790`.

import { buildWorker } from "./build.mjs";
import { Stop, exec, inRoot, isStopping, main, say } from "./run.mjs";
import { ensureSecret } from "./secret.mjs";
import { setUp } from "./setup.mjs";

/** Environment that keeps wrangler to itself: no telemetry, prompts, update check, log files. */
export const quietWrangler = {
  CI: "true",
  CLOUDFLARE_CF_FETCH_ENABLED: "false", // the made-up `request.cf` will do
  WRANGLER_HIDE_BANNER: "true", // and with it the look for a newer version
  WRANGLER_NO_SKILLS_UPDATE_PROMPTS: "true",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
};

await main(async () => {
  await setUp();
  await buildWorker();
  if (ensureSecret(inRoot(".dev.vars"))) say("secret: made SESSION_SECRET in .dev.vars, for local use");

  const given = process.argv.slice(2);
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
    ...given,
  ];
  const wrangler = inRoot("node_modules", "wrangler", "bin", "wrangler.js");
  const { status } = await exec(process.execPath, [wrangler, ...args], {
    env: quietWrangler,
    tee: true,
    onLine(line) {
      const url = line.match(/\bReady on (http\S+)/i)?.[1];
      if (url) say(`edge-session runs at ${url} (Ctrl-C ends it; sessions stay in .wrangler/state)`);
    },
  });
  if (status !== 0 && !isStopping()) throw new Stop(`wrangler dev ended with exit status ${status}`);
});
