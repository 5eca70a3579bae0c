// `npm run simulate`: seeded histories of faults against the code that ships (sim/). sim/src/main.rs has the
// options and exit statuses, which are printed if there are no options.

import { Stop, exec, inRoot, isProgram, main, run } from "./run.mjs";

const env = { CARGO_TARGET_DIR: inRoot("target") };

/** Builds and runs the simulator. The mutants are compiled in only if an option needs them. */
export async function simulate(args) {
  const mutants = args.some((arg) => /^--(list-mutants|mutants?)(=|$)/.test(arg));
  const features = mutants ? ["--features", "mutants"] : [];
  await run(
    "compiling the simulator",
    "cargo",
    ["build", "-q", "--profile", "sim", "-p", "edge-session-sim", ...features],
    { env },
  );
  const { status } = await exec(inRoot("target", "sim", "edge-session-sim"), args);
  return status;
}

if (isProgram(import.meta.url)) {
  await main(async () => {
    const status = await simulate(process.argv.slice(2));
    if (status === 127) throw new Stop("the simulator was not built");
    return status;
  });
}
