// How time and memory of this package grow, and against what.
//
// Each point has an isolate of its own, so that memory is that of the point. Time is CPU over a
// Worker without sessions, as in cpu.mjs.

import { install } from "./host/contenders.mjs";
import { exponent, line, summary } from "./host/stats.mjs";

const NAME = "ours-js";

/** Median microseconds of `run` per `per`, with `bare` taken off. */
async function time({ rounds, run, bare, per }) {
  const samples = [];
  await run();
  for (let round = 0; round < rounds; round += 1) {
    const base = bare ? await bare() : 0;
    samples.push(((await run()) - base) / per / 1000);
  }
  return summary(samples);
}

/** Microseconds of one method, over a pool, with what goes without a session taken off. */
function timeRequests(isolate, { method, n, rounds, tick = 0, few = 0 }) {
  const request = { pool: "pool", method, n, tick, few };
  const spend = async (rest) => {
    const { answer, nanoseconds } = await isolate.timed("run", { ...request, ...rest });
    if (answer.failed) throw new Error(`${answer.failed} requests failed`);
    return nanoseconds;
  };
  return time({ rounds, per: n, run: () => spend({}), bare: () => spend({ bare: true }) });
}

async function point(vars, measure) {
  const isolate = await (await install(NAME)).start();
  const before = isolate.resident();
  try {
    await isolate.tell("settings", { vars });
    const result = await measure(isolate);
    const { memory } = await isolate.tell("census");
    return { ...result, memory, resident: isolate.resident() - before };
  } finally {
    await isolate.stop();
  }
}

/** Every load reads: nothing is served by the isolate's table. */
const READING = { isolateCacheTtl: 0 };
const HOUR = 3_600_000;

const AXES = {
  data: {
    title: "Data of a session",
    unit: "bytes",
    series: { read: "read", write: "read and write" },
    points: [100, 1_000, 10_000, 100_000, 1_000_000],
    measure: (size, rounds) =>
      point({ OPTIONS: { ...READING, maxRecordBytes: 4_000_000 } }, async (isolate) => {
        const n = Math.max(10, Math.min(500, Math.round(3_000_000 / size)));
        await isolate.fill({ name: "pool", size, count: 20, wait: HOUR });
        const read = await timeRequests(isolate, { method: "GET", n, rounds, tick: 10_000 });
        const write = await timeRequests(isolate, { method: "PUT", n, rounds, tick: 10_000 });
        return { read, write };
      }),
  },
  keys: {
    title: "Keys of a session",
    unit: "keys",
    series: { read: "read one", write: "read and write one" },
    points: [1, 10, 100, 1_000, 10_000],
    measure: (keys, rounds) =>
      point({ OPTIONS: { ...READING, maxKeys: 20_000, maxRecordBytes: 4_000_000 } }, async (isolate) => {
        const n = Math.max(10, Math.min(500, Math.round(50_000 / keys)));
        await isolate.fill({ name: "pool", keys, count: 20, wait: HOUR });
        const read = await timeRequests(isolate, { method: "GET", n, rounds, tick: 10_000 });
        const write = await timeRequests(isolate, { method: "PUT", n, rounds, tick: 10_000 });
        return { read, write };
      }),
  },
  sessions: {
    title: "Sessions that the isolate has seen",
    unit: "sessions",
    series: { read: "read served by the table", write: "read and write" },
    points: [10, 100, 1_000, 10_000, 50_000],
    measure: (sessions, rounds) =>
      point({ OPTIONS: { isolateCacheTtl: 3_600 } }, async (isolate) => {
        await isolate.fill({ name: "pool", size: 100, count: sessions });
        // All of them are in the table, or as many as it takes; these are the last ones it heard of.
        await isolate.tell("run", { pool: "pool", method: "GET", n: 8, few: 8 });
        const read = await timeRequests(isolate, { method: "GET", n: 1_000, rounds, few: 8 });
        const write = await timeRequests(isolate, { method: "PUT", n: 500, rounds, tick: 2_000 });
        return { read, write };
      }),
  },
  owner: {
    title: "Sessions of one owner",
    unit: "sessions",
    series: { list: "list", revoke: "log out everywhere" },
    points: [1, 10, 100, 1_000],
    measure: (sessions, rounds) =>
      point({}, async (isolate) => {
        const list = [];
        const revoke = [];
        for (let round = 0; round <= rounds; round += 1) {
          const owner = `owner-${round}`;
          await isolate.tell("drop", { name: "pool" });
          await isolate.tell("clear");
          await isolate.tell("settings", { vars: { OWNER: owner } });
          await isolate.fill({ name: "pool", size: 100, count: sessions, wait: HOUR });
          const n = sessions > 100 ? 2 : 20;
          const listed = await isolate.timed("call", { name: "list", args: [owner], n, tick: 1_000 });
          if (listed.answer.result !== sessions) throw new Error(`${listed.answer.result} of ${sessions} are listed`);
          const revoked = await isolate.timed("call", { name: "revokeAll", args: [owner] });
          if (round === 0) continue; // warming up
          list.push(listed.nanoseconds / n / 1000);
          revoke.push(revoked.nanoseconds / 1000);
        }
        return { list: summary(list), revoke: summary(revoke) };
      }),
  },
  parallel: {
    title: "Requests at once",
    unit: "requests",
    series: { read: "read, all of them", write: "read and write, all of them" },
    points: [1, 4, 16, 64, 256],
    measure: (parallel, rounds) =>
      point({ OPTIONS: READING }, async (isolate) => {
        await isolate.fill({ name: "pool", size: 2_000, count: 1_024, wait: HOUR });
        const batches = Math.max(2, Math.round(512 / parallel));
        const of = (method) => {
          const spend = async (rest) => {
            const request = { pool: "pool", method, n: parallel, rounds: batches, tick: 10_000, ...rest };
            const { answer, nanoseconds } = await isolate.timed("parallel", request);
            if (answer.failed) throw new Error(`${answer.failed} requests failed`);
            return nanoseconds;
          };
          return time({ rounds, per: batches, run: () => spend({}), bare: () => spend({ bare: true }) });
        };
        return { read: await of("GET"), write: await of("PUT") };
      }),
  },
};

export async function growth({ quick = false, log }) {
  const found = {};
  for (const [id, { title, unit, series, points, measure }] of Object.entries(AXES)) {
    const rows = [];
    for (const x of quick ? points.slice(0, -1).filter((_, i) => i !== 1) : points) {
      log(`${title}: ${x}`);
      rows.push({ x, ...(await measure(x, quick ? 2 : 3)) });
    }
    const slopes = {};
    for (const name of [...Object.keys(series), "memory"]) {
      const values = rows.map((row) => [row.x, name === "memory" ? row.memory : row[name].median]);
      // Where the constant part no longer counts: the larger half.
      const upper = values.slice(-3);
      slopes[name] = { exponent: exponent(upper), perUnit: line(values).slope };
    }
    found[id] = { title, unit, series, rows, slopes };
  }
  return found;
}

export function report({ about, ...found }, print) {
  const number = (x) => (x >= 100 ? Math.round(x).toLocaleString("en") : x.toPrecision(2));
  for (const { title, unit, series, rows, slopes } of Object.values(found)) {
    const names = Object.keys(series);
    print("", `${title}. Microseconds of CPU over a Worker without sessions, median (middle half); wasm memory in MB.`, "");
    print(`| ${unit} | ${names.map((name) => series[name]).join(" | ")} | wasm memory |`);
    print(`|---|${"---|".repeat(names.length + 1)}`);
    for (const row of rows) {
      const cell = ({ median, low, high }) => `${number(median)} (${number(low)}–${number(high)})`;
      print(`| ${row.x.toLocaleString("en")} | ${names.map((name) => cell(row[name])).join(" | ")} | ${(row.memory / 1e6).toFixed(1)} |`);
    }
    const fits = [...names, "memory"].map((name) => slopes[name].exponent.toFixed(2));
    print(`| exponent of the upper three | ${fits.join(" | ")} |`);
  }
}
