// What `npm run check` compares with: counts that no load of the machine changes.

import { readFileSync, writeFileSync } from "node:fs";

import { Stop, inRoot, say } from "../scripts/run.mjs";
import { instructions } from "./instructions.mjs";
import { operations } from "./wire.mjs";

const FILE = inRoot("bench", "budget.json");
/** How far a count of instructions may be off. */
const TOLERANCE = 0.05;

function budget() {
  const read = JSON.parse(readFileSync(FILE, "utf8"));
  // Without an entry there is nothing to compare, and the check would pass.
  const counts = [...Object.values(read.operations), read.instructions.counts];
  if (counts.length < 2 || counts.some((each) => Object.keys(each).length === 0)) throw new Stop("bench/budget.json has no counts");
  return read;
}

/** Operations of both traces: exactly those of the budget. */
export async function checkOperations() {
  const found = await operations();
  const off = [];
  for (const [trace, counts] of Object.entries(budget().operations)) {
    for (const [what, count] of Object.entries(counts)) {
      const now = found[trace][what];
      console.log(`${trace} trace, ${what}: ${now} of ${count}`);
      if (now !== count) off.push(`the ${trace} trace has ${now} ${what}, the budget says ${count}`);
    }
  }
  if (off.length) throw new Stop(`${off.join("; ")}. If that is meant: npm run bench -- budget`);
}

/** Instructions of the native core: within 5 % of the budget. */
export async function checkInstructions() {
  const { compiler, counts } = await instructions();
  const expected = budget().instructions;
  const off = [];
  for (const [what, count] of Object.entries(expected.counts)) {
    const change = counts[what] / count - 1;
    const percent = `${change > 0 ? "+" : ""}${(change * 100).toFixed(1)} %`;
    console.log(`${what}: ${counts[what]} instructions, budget ${count} (${percent})`);
    if (!(Math.abs(change) <= TOLERANCE)) off.push(`${what}: ${percent}`);
  }
  if (off.length === 0) return;
  const other = compiler === expected.compiler ? "" : ` (the budget is of ${expected.compiler}, this is ${compiler})`;
  throw new Stop(`instructions are off by more than 5 %: ${off.join("; ")}${other}. If that is meant: npm run bench -- budget`);
}

export async function writeBudget() {
  // `npm run crossings` writes the rest.
  const found = { ...JSON.parse(readFileSync(FILE, "utf8")), operations: await operations(), instructions: await instructions() };
  writeFileSync(FILE, `${JSON.stringify(found, null, 2)}\n`);
  say("bench/budget.json is written");
}
