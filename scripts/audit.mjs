// `npm run audit`: known vulnerabilities of the dependencies, of Rust (RustSec) and of npm.
//
// Both databases are fetched from the network, so this is not part of `npm run check`: a change must not
// fail because of a newly published vulnerability. If a database cannot be reached, this exits with 3.

import { ensureCargoDeny } from "./cargo-tools.mjs";
import { Missing, Stop, exec, main, say } from "./run.mjs";
import { setUp } from "./setup.mjs";

const options = { capture: true, timeoutSeconds: 300 };

/** Fetches by a command of its own, because the text of an advisory may look like a failed connection. */
async function askRustSec() {
  const cargoDeny = await ensureCargoDeny();
  say("cargo deny fetch");
  const fetched = await exec(cargoDeny, ["fetch", "db", "index"], options);
  if (fetched.status !== 0) {
    console.log(fetched.output.trimEnd());
    return "unreachable";
  }
  say("cargo deny check advisories");
  const { status, output } = await exec(cargoDeny, ["--offline", "check", "advisories"], options);
  console.log(output.trimEnd());
  return status === 0 ? null : "found";
}

async function askNpm() {
  say("npm audit");
  const { status, output, stdout } = await exec("npm", ["audit", "--json"], options);
  // What npm prints if it got no answer has a message instead.
  const { vulnerabilities } = parsed(stdout);
  if (!vulnerabilities) {
    console.log(output.trimEnd());
    return "unreachable";
  }
  for (const { name, range, severity, via } of Object.values(vulnerabilities)) {
    // A text is the name of a dependency that has the vulnerability.
    const why = via.map((it) => (typeof it === "string" ? `depends on ${it}` : `${it.title} ${it.url}`));
    console.log(`${name} ${range}, ${severity}: ${why.join("; ")}`);
  }
  return status === 0 ? null : "found";
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

await main(async () => {
  await setUp({ wasm: false });
  const answers = { "Rust (RustSec)": await askRustSec(), npm: await askNpm() };
  const named = (answer) => Object.keys(answers).filter((name) => answers[name] === answer).join(" and ");
  if (named("found")) throw new Stop(`vulnerabilities found, see above: ${named("found")}`);
  if (named("unreachable")) {
    throw new Missing(`the database could not be reached: ${named("unreachable")}. Run this again with a network connection`);
  }
  say("no known vulnerabilities");
});
