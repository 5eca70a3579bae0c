// `npm run audit`: known vulnerabilities of the dependencies, of Rust (RustSec) and of npm.
//
// Both databases are fetched from the network, so this is not part of `npm run check`: a change must not
// fail because of a newly published vulnerability. If a database cannot be reached, this exits with 3.

import { ensureCargoDeny } from "./cargo-tools.mjs";
import { Missing, Stop, exec, main, say } from "./run.mjs";
import { setUp } from "./setup.mjs";

const UNREACHABLE =
  /failed to fetch|failed to clone|could not resolve|unable to (?:access|connect)|network|ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ENOAUDIT|audit endpoint returned an error|timed? ?out/i;

async function ask(what, command, args) {
  say(what);
  const { status, output } = await exec(command, args, { capture: true, timeoutSeconds: 300 });
  console.log(output.trimEnd());
  if (status === 0) return null;
  return UNREACHABLE.test(output) ? "unreachable" : "found";
}

await main(async () => {
  await setUp({ wasm: false });
  const answers = {
    "Rust (RustSec)": await ask("cargo deny check advisories", await ensureCargoDeny(), ["check", "advisories"]),
    npm: await ask("npm audit", "npm", ["audit", "--loglevel=error"]),
  };
  const named = (answer) => Object.keys(answers).filter((name) => answers[name] === answer).join(" and ");
  if (named("found")) throw new Stop(`vulnerabilities found, see above: ${named("found")}`);
  if (named("unreachable")) {
    throw new Missing(`the database could not be reached: ${named("unreachable")}. Run this again with a network connection`);
  }
  say("no known vulnerabilities");
});
