// CPU per request over a Worker without sessions.
//
// Each contender runs in a workerd of its own, with KV in the isolate's memory. A sample is a loop
// of many requests inside the isolate; what it cost is the CPU time of the whole process, read
// from outside. Beside each sample, the same requests with the same cookies go to a handler without
// sessions in the same isolate: the difference is the figure. Samples of all contenders alternate.

import { CONTENDERS, IN_OBJECTS, IN_ROWS, KV_PEERS, OURS, install, startAll, titleOf } from "./host/contenders.mjs";
import { summary } from "./host/stats.mjs";

/** More sessions than the isolate's table holds (4 MiB of records; 2,048 derived keys). */
const SIZES = {
  "100 B": { size: 100, sessions: 12_000 },
  "2 kB": { size: 2_000, sessions: 4_000 },
  "64 kB": { size: 64_000, sessions: 256 },
};
/** Runs of each kind that a sample consists of. */
const TURNS = 4;
/** Until a pool has been gone round, so that no browser has a cookie of its last answer left. */
const ROUND = 120_000;

/** The cells: what is asked, of whom, and what must be counted if it is what it says. */
function cells(quick) {
  const sizes = Object.keys(SIZES);
  const list = [
    { id: "untouched", title: "no cookie, untouched", method: "HEAD" },
    { id: "handle", title: "no cookie, untouched, `handle`", method: "OPTIONS", only: OURS },
    { id: "lazy", title: "valid cookie, untouched", method: "HEAD", size: "100 B" },
    { id: "rust", title: "no sessions, Worker in Rust", method: "PATCH", only: ["ours-rust"] },
    // A Worker in Rust costs what it costs before there is a session.
    { id: "untouched over rust", title: "no cookie, untouched, over a Worker in Rust", method: "HEAD", over: "PATCH", only: ["ours-rust"] },
    { id: "handle over rust", title: "no cookie, untouched, `handle`, over a Worker in Rust", method: "OPTIONS", over: "PATCH", only: ["ours-rust"] },
    { id: "forged", title: "forged cookie, read", method: "GET", size: "100 B", forged: true },
  ];
  for (const size of sizes) {
    list.push({ id: `read ${size}`, title: `read, ${size}`, method: "GET", size, reads: true });
    list.push({ id: `write ${size}`, title: `read and write, ${size}`, method: "PUT", size, reads: true, writes: true });
    list.push({ id: `table ${size}`, title: `read served by the isolate's table, ${size}`, method: "GET", size, few: 8, only: OURS });
  }
  for (const size of quick ? sizes.slice(0, 1) : sizes) {
    list.push({ id: `destroy ${size}`, title: `destroy, ${size}`, method: "DELETE", size, reads: true, once: true });
  }
  return list;
}

export async function cpu({ quick = false, only, cells: wantedCells, log }) {
  const names = only ?? CONTENDERS;
  const wanted = (cell, name, inCookie) =>
    (cell.only?.includes(name) ?? true) && !(inCookie && cell.size === "64 kB");
  const rounds = quick ? 3 : 7;
  const budget = quick ? 40e6 : 200e6; // nanoseconds of CPU that a sample is to take
  const titles = {};
  for (const name of names) titles[name] = await titleOf(name);
  const isolates = await startAll(names);
  const inCookie = (name) => /\(cookie\)/.test(titles[name]);

  const results = {};
  /** The pools that each contender has. */
  const pools = {};
  for (const cell of cells(quick)) {
    if (wantedCells && !wantedCells.includes(cell.id)) continue;
    const { size, method, over: without, forged, few = 0, once } = cell;
    const taking = names.filter((name) => wanted(cell, name, inCookie(name)));
    if (taking.length === 0) continue;
    log(`${cell.title}: ${taking.join(", ")}`);
    const sessions = size && (quick ? Math.ceil(SIZES[size].sessions / 1.5) : SIZES[size].sessions);
    const tick = size && !few ? Math.ceil(ROUND / sessions) : 0;
    const state = {};
    for (const name of taking) {
      const isolate = isolates[name];
      const pool = size && (once ? `once ${size}` : size);
      if (size && !pools[name]?.has(pool)) {
        // Where nothing is remembered, fewer sessions say the same.
        const count = [...OURS, IN_OBJECTS, IN_ROWS].includes(name) ? sessions : Math.min(sessions, 300);
        await isolate.fill({ name: pool, size: SIZES[size].size, count, wait: ROUND });
        (pools[name] ??= new Set()).add(pool);
      }
      const request = { pool, method, tick, forged, once, few };
      // Warm first, until the runtime has compiled what is hot, as in an isolate that has served
      // for a while; the last round says how many requests a sample needs.
      const large = size === "64 kB";
      const warm = once ? 50 : large ? 40 : quick ? 500 : 1000;
      let nanoseconds;
      for (let i = 0; i < (once ? 1 : large ? 3 : quick ? 4 : 10); i += 1) {
        ({ nanoseconds } = await isolate.timed("run", { ...request, n: warm }));
        if (nanoseconds / warm > 2e6) break;
      }
      // The same requests to no session at all.
      const base = without ? { method: without } : { bare: true, once: false };
      const least = large ? (quick ? 50 : 100) : quick ? 1000 : 2000;
      const n = once
        ? quick ? 100 : large ? 32 : 150
        : nanoseconds / warm > 2e6 ? 200
        : Math.min(20_000, Math.max(least, Math.round((warm * budget) / nanoseconds / TURNS) * TURNS));
      state[name] = { request: { ...request, n }, bare: { ...request, n, ...base }, over: [], base: [], counts: {} };
      await isolate.timed("run", { ...request, n: Math.min(n, 2000), ...base });
    }
    for (let round = 0; round < rounds; round += 1) {
      // Another order each time, so that no contender always follows the same one.
      for (let i = 0; i < taking.length; i += 1) {
        const name = taking[(i * (round % 2 ? taking.length - 1 : 1) + round) % taking.length];
        const isolate = isolates[name];
        const { request, over, base, counts, bare: unburdened } = state[name];
        const { n } = request;
        if (once) await isolate.fill({ name: request.pool, count: n });
        // By turns, each first as often as the other: what an engine does now and then, such as
        // collecting garbage, does not always fall to the same one.
        const turns = once ? 1 : quick ? 2 : TURNS;
        let [bare, full] = [0, 0];
        const without = async () => {
          bare += (await isolate.timed("run", { ...unburdened, n: n / turns })).nanoseconds;
        };
        const withOne = async () => {
          const { nanoseconds, answer } = await isolate.timed("run", { ...request, n: n / turns });
          full += nanoseconds;
          for (const [key, value] of Object.entries(answer)) counts[key] = (counts[key] ?? 0) + value;
        };
        for (let turn = 0; turn < turns; turn += 1) {
          for (const run of turn % 2 ? [withOne, without] : [without, withOne]) await run();
        }
        base.push(bare / n / 1000);
        over.push((full - bare) / n / 1000);
      }
    }
    const row = (results[cell.id] = { title: cell.title, contenders: {} });
    for (const name of taking) {
      const { request, over, base, counts } = state[name];
      const requests = request.n * rounds;
      const per = Object.fromEntries(Object.entries(counts).map(([key, value]) => [key, value / requests]));
      if (per.failed > 0) throw new Error(`${name}, ${cell.title}: ${counts.failed} of ${requests} requests failed`);
      if (OURS.includes(name)) {
        // Is it what it says? Each load has read a record, or none has.
        const reads = cell.reads ? 1 : 0;
        if (Math.abs(per.reads - reads) > 0.001) {
          throw new Error(`${name}, ${cell.title}: ${per.reads} reads a request, not ${reads}`);
        }
      }
      row.contenders[name] = { ...summary(over), base: summary(base).median, requests: request.n, per };
      if (once) await isolates[name].tell("drop", { name: request.pool });
    }
  }
  for (const isolate of Object.values(isolates)) await isolate.stop();
  return { titles, results, rounds };
}

/** Calls between JavaScript and wasm, of requests that leave the session alone or use it. */
export async function crossings({ only = OURS }) {
  const found = {};
  for (const name of OURS.filter((name) => only.includes(name))) {
    const isolate = await (await install(name, { counting: true })).start();
    await isolate.fill({ name: "pool", size: 2_000, count: 20, wait: ROUND });
    const cells = [
      ["no cookie, untouched (`handle_lazy`)", { method: "HEAD" }],
      ["no cookie, untouched (`handle`)", { method: "OPTIONS" }],
      ["valid cookie, untouched (`handle_lazy`)", { method: "HEAD", pool: "pool" }],
      ["read, 2 kB", { method: "GET", pool: "pool" }],
      ["read and write, 2 kB", { method: "PUT", pool: "pool" }],
    ];
    if (name === "ours-rust") cells.push(["no sessions, Worker in Rust", { method: "PATCH" }]);
    found[name] = {};
    for (const [title, request] of cells) {
      const tick = request.pool ? ROUND / 20 : 0;
      await isolate.tell("run", { ...request, n: 20, tick });
      await isolate.tell("census");
      await isolate.tell("run", { ...request, n: 20, tick });
      const { into, outOf } = await isolate.tell("census");
      const sum = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0) / 20;
      found[name][title] = { into: sum(into), outOf: sum(outOf), detail: { into, outOf } };
    }
    await isolate.stop();
  }
  return found;
}

export function report({ titles, results, rounds }, print) {
  const names = Object.keys(titles);
  const peers = KV_PEERS.filter((name) => names.includes(name));
  const us = (x) => (Math.abs(x) < 10 ? x.toFixed(1) : x.toFixed(0));
  const times = (x) => (Number.isFinite(x) ? `${x.toFixed(2)}x` : "-");
  const ours = OURS.filter((name) => names.includes(name));
  if (ours.length) {
    print("", "Ratios: edge-session over the fastest KV peer, and over the hand-written one. Under 1 is faster.", "");
    print(`| | ${ours.flatMap((name) => [`${titles[name]}: over the peer`, "over the hand-written"]).join(" | ")} | fastest KV peer |`);
    print(`|---|${"---|".repeat(ours.length * 2 + 1)}`);
    for (const { title, contenders } of Object.values(results)) {
      const fastest = peers.filter((name) => contenders[name]).sort((a, b) => contenders[a].median - contenders[b].median)[0];
      if (!fastest && !contenders.floor) continue;
      // Over what costs next to nothing, a ratio says nothing.
      const of = (name, other) =>
        contenders[name] && contenders[other]?.median >= 1 ? times(contenders[name].median / contenders[other].median) : "-";
      print(`| ${title} | ${ours.flatMap((name) => [of(name, fastest), of(name, "floor")]).join(" | ")} | ${fastest ? titles[fastest] : "-"} |`);
    }
  }
  print("", `Microseconds of CPU per request over a Worker without sessions: median (middle half) of ${rounds} samples.`, "");
  print(`| | ${names.map((name) => titles[name]).join(" | ")} |`);
  print(`|---|${"---|".repeat(names.length)}`);
  for (const { title, contenders } of Object.values(results)) {
    const cell = (name) => {
      const found = contenders[name];
      return found ? `${us(found.median)} (${us(found.low)}–${us(found.high)})` : "-";
    };
    print(`| ${title} | ${names.map(cell).join(" | ")} |`);
  }
}
