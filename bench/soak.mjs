// 200,000 requests through one isolate whose table is full from the start: is anything left over?

import { OURS, install, titleOf } from "./host/contenders.mjs";

const REQUESTS = 200_000;
/** More than the table of an isolate holds. */
const SESSIONS = 12_000;
const BATCH = 1_000;

export async function soak({ quick = false, only = OURS, log }) {
  const requests = quick ? REQUESTS / 10 : REQUESTS;
  const found = {};
  for (const name of OURS.filter((name) => only.includes(name))) {
    const isolate = await (await install(name, { counting: true })).start();
    await isolate.fill({ name: "pool", size: 100, count: SESSIONS });
    const points = [];
    const statuses = {};
    for (let done = 0; done <= requests; done += BATCH) {
      if (done % (requests / 10) === 0) {
        const { memory, held, objects } = await isolate.tell("census");
        points.push({ requests: done, memory, held, objects, resident: isolate.resident() });
        log(`${name}: ${done} requests, ${memory} bytes of wasm memory, ${held} values held, ${objects} objects`);
      } else {
        await isolate.tell("census"); // what has crossed is not kept for long
      }
      if (done === requests) break;
      const seen = await isolate.tell("soak", { pool: "pool", n: BATCH, tick: 10 });
      for (const [status, count] of Object.entries(seen)) statuses[status] = (statuses[status] ?? 0) + count;
    }
    await isolate.stop();
    const [early, late] = [points[1], points.at(-1)];
    const same = early.memory === late.memory && early.objects === late.objects && early.held === late.held;
    found[name] = { title: await titleOf(name), points, statuses, same };
  }
  return found;
}

export function report({ about, ...found }, print) {
  const count = (n) => n.toLocaleString("en");
  for (const { title, points, statuses, same } of Object.values(found)) {
    const answers = Object.entries(statuses).map(([status, n]) => `${count(n)} with status ${status}`);
    print("", `${title}: ${same ? "the same" : "not the same"} early and late. Answers: ${answers.join(", ")}.`, "");
    print("| requests | bytes of wasm memory | JavaScript values held by wasm | objects of the package in wasm |", "|---|---|---|---|");
    for (const { requests, memory, held, objects } of points) {
      print(`| ${count(requests)} | ${count(memory)} | ${held} | ${title.includes("Rust") ? "-" : objects} |`);
    }
  }
}
