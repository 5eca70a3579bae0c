// What `npm run bench` can be asked for.

import { mkdirSync, writeFileSync } from "node:fs";

import { Stop, inRoot, say } from "../scripts/run.mjs";
import * as cpuBench from "./cpu.mjs";
import { writeBudget } from "./budget.mjs";
import { document } from "./document.mjs";
import { about } from "./host/about.mjs";
import * as growthBench from "./growth.mjs";
import * as httpBench from "./http.mjs";
import * as instructions from "./instructions.mjs";
import * as objectsBench from "./objects.mjs";
import * as sizeBench from "./size.mjs";
import * as soakBench from "./soak.mjs";
import * as whereBench from "./where.mjs";
import * as wireBench from "./wire.mjs";

const HELP = `npm run bench                    everything, into bench/results/
npm run bench -- quick           everything, briefly: under three minutes
npm run bench -- cpu             one part: cpu, http, wire, objects, size, growth, profile, where, soak
npm run bench -- cpu quick --only ours-js,floor
npm run bench -- document        writes the tables of bench/results/ into docs/performance.md
npm run bench -- document wire   only those of one part
npm run bench -- budget          counts anew what \`npm run check\` compares with (bench/budget.json)`;

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
  async http(options) {
    const measured = await httpBench.http(options);
    httpBench.report(measured, print);
    return measured;
  },
  async objects(options) {
    const measured = await objectsBench.objects(options);
    objectsBench.report(measured, print);
    return measured;
  },
  async size(options) {
    const measured = await sizeBench.sizes(options);
    sizeBench.report(measured, print);
    return measured;
  },
  async growth(options) {
    const measured = await growthBench.growth(options);
    growthBench.report(measured, print);
    return measured;
  },
  async profile() {
    const measured = await instructions.profile();
    instructions.report(measured, print);
    return measured;
  },
  async where(options) {
    const measured = await whereBench.where(options);
    whereBench.report(measured, print);
    return measured;
  },
  async soak(options) {
    const measured = await soakBench.soak(options);
    soakBench.report(measured, print);
    const grown = Object.keys(measured).filter((name) => !measured[name].same);
    if (grown.length) process.exitCode = 1;
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
    else if (arg === "document") return document(args.slice(i + 1));
    else if (arg === "budget") return writeBudget();
    else if (arg === "--only") options.only = args[(i += 1)]?.split(",");
    else if (PARTS[arg]) parts.push(arg);
    else throw new Stop(`there is no \`${arg}\` to measure\n${HELP}`);
  }
  mkdirSync(inRoot("bench", "results"), { recursive: true });
  const all = Object.keys(PARTS).filter((part) => !(options.quick && ["profile", "where"].includes(part)));
  for (const part of parts.length ? parts : all) {
    const measured = { about: about(), ...(await PARTS[part](options)) };
    const file = options.quick || options.only ? `${part}-partial.json` : `${part}.json`;
    writeFileSync(inRoot("bench", "results", file), `${JSON.stringify(measured, null, 1)}\n`);
  }
}
