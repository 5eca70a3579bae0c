// What `npm run bench` can be asked for.

import { mkdirSync, writeFileSync } from "node:fs";

import { Stop, inRoot, say } from "../scripts/run.mjs";
import * as cpuBench from "./cpu.mjs";
import * as wireBench from "./wire.mjs";

const HELP = `npm run bench                    everything, into bench/results/
npm run bench -- quick           everything, briefly: under three minutes
npm run bench -- cpu             one part: cpu, wire, size, growth, soak
npm run bench -- cpu quick --only ours-js,floor
npm run bench -- document        writes the tables of bench/results/ into docs/performance.md`;

const PARTS = {
  async cpu(options) {
    const crossings = await cpuBench.crossings(options);
    const measured = { ...(await cpuBench.cpu(options)), crossings };
    cpuBench.report(measured, print);
    return measured;
  },
  async wire(options) {
    const measured = await wireBench.wire(options);
    wireBench.report(measured, print);
    return measured;
  },
};

const print = (...lines) => lines.forEach((line) => console.log(line));

export async function bench(args) {
  const options = { log: say };
  const parts = [];
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i];
    if (arg === "help") return print(HELP);
    else if (arg === "quick") options.quick = true;
    else if (arg === "--only") options.only = args[(i += 1)]?.split(",");
    else if (PARTS[arg]) parts.push(arg);
    else throw new Stop(`there is no \`${arg}\` to measure\n${HELP}`);
  }
  mkdirSync(inRoot("bench", "results"), { recursive: true });
  for (const part of parts.length ? parts : Object.keys(PARTS)) {
    const measured = await PARTS[part](options);
    const file = options.quick || options.only ? `${part}-partial.json` : `${part}.json`;
    writeFileSync(inRoot("bench", "results", file), `${JSON.stringify(measured, null, 1)}\n`);
  }
}
