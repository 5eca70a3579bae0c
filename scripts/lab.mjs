// `npm run lab`: records the histories that the console's consistency lab plays, www/lab/*.json,
// with the simulator (sim/src/lab.rs). The same source gives the same bytes.
// `npm run lab -- --check` only checks that the files are up to date.

import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Stop, inRoot, isProgram, main, run, say } from "./run.mjs";

const HOME = inRoot("www", "lab");

/** Records into a temporary folder, so that nothing is lost if that fails, and passes it to `use`. */
async function record(use) {
  const fresh = mkdtempSync(join(tmpdir(), "edge-session-lab-"));
  try {
    await run(
      "recording the lab's histories",
      "cargo",
      ["run", "-q", "--profile", "sim", "-p", "edge-session-sim", "--bin", "lab", "--", fresh],
      { env: { CARGO_TARGET_DIR: inRoot("target") } },
    );
    use(fresh);
  } finally {
    rmSync(fresh, { recursive: true });
  }
}

/** Fails if the files differ from what would be recorded now. */
export const checkLab = () => record(compare);

function compare(fresh) {
  const names = [...new Set([...readdirSync(fresh), ...readdirSync(HOME)])];
  const text = (folder, name) => (readdirSync(folder).includes(name) ? readFileSync(join(folder, name), "utf8") : null);
  const stale = names.filter((name) => text(fresh, name) !== text(HOME, name));
  if (stale.length) throw new Stop(`out of date: www/lab/${stale.join(", www/lab/")}. Run \`npm run lab\`, which writes them`);
}

function replace(fresh) {
  rmSync(HOME, { recursive: true, force: true });
  cpSync(fresh, HOME, { recursive: true });
}

if (isProgram(import.meta.url)) {
  await main(async () => {
    if (process.argv.includes("--check")) {
      await checkLab();
      say("www/lab is up to date");
    } else {
      await record(replace);
      say(`wrote ${readdirSync(HOME).length} histories into www/lab`);
    }
  });
}
