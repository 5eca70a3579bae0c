// What sessions in Durable Objects cost: requests to objects, rows and dollars, counted in workerd over
// real objects, and the CPU of the Worker beside that of sessions in KV.

import { cpu } from "./cpu.mjs";
import { IN_OBJECTS, IN_ROWS, OURS, install } from "./host/contenders.mjs";
import { TRACES } from "./trace.mjs";
import { dollarsPerMillion as dollarsOfKv, replay } from "./wire.mjs";

/** Ahead of the machine's clock: the runtime sets off no alarm that the bench has not come to. */
const START = Date.UTC(2100, 0, 4);
const MINUTE = 60_000;
const [IN_KV] = OURS;

/** Dollars (https://developers.cloudflare.com/durable-objects/platform/pricing/). A set alarm is a row. */
const PRICE = { calls: 0.15e-6, rowsRead: 0.001e-6, rowsWritten: 1e-6, alarmsSet: 1e-6 };
/** An object is billed for 128 MB while it works on a request: assumed to be 10 ms, as none is published. */
const DURATION = 0.01 * 0.128 * 12.5e-6;
/** Of a GB-month; an object's database takes three pages of SQLite. */
const STORAGE = { price: 0.2, gigabytes: 12_288 / 1e9, hours: 30 * 24 };

const GOAL = { sparse: 0.7 };
const CELLS = ["read 100 B", "write 100 B", "read 2 kB", "write 2 kB"];

function dollars(sum) {
  return Object.entries(PRICE).reduce((all, [name, price]) => all + (sum[name] ?? 0) * price, sum.calls * DURATION);
}
const dollarsPerMillion = ({ total }) => (dollars(total) / total.requests) * 1e6;
const storagePerMillion = ({ total, objectHours }) =>
  (((objectHours / STORAGE.hours) * STORAGE.gigabytes * STORAGE.price) / total.requests) * 1e6;

/** One request of each kind, and "log out everywhere" over some sessions: what objects are asked. */
async function operations() {
  const isolate = await (await install(IN_OBJECTS, { objects: true })).start();
  const pair = (line) => line.split(";")[0];
  const cookies = (old, { setCookie }) => setCookie.map(pair).join("; ") || old;
  const rows = [];
  const keep = (title, { calls, rowsRead, rowsWritten, alarmsSet, reads, puts, status = 200 }) => {
    if (status !== 200 || reads + puts > 0) throw new Error(`${title}: status ${status}, ${reads + puts} operations of KV`);
    rows.push({ title, calls, rowsRead, rowsWritten, alarmsSet });
  };
  const one = async (title, method, cookie) => {
    await isolate.tell("pass", { milliseconds: 5 * MINUTE });
    const answer = await isolate.tell("one", { method, cookie });
    if (title) keep(title, answer);
    return cookies(cookie, answer);
  };

  // The clock has to be ahead before the first alarm is set.
  await isolate.tell("trace", { events: [], start: START });
  await isolate.tell("settings", { vars: { OWNER: undefined } });
  let cookie = await one("the first save of a visitor", "POST");
  cookie = await one("a load", "GET", cookie);
  cookie = await one("a load and a save", "PUT", cookie);
  await isolate.tell("settings", { vars: { OWNER: "ada" } });
  cookie = await one("a load and a login, which moves the session to the user's object", "POST", cookie);
  cookie = await one("a load and a save of a user", "PUT", cookie);
  await one("a logout", "DELETE", cookie);
  for (const count of [1, 10, 100]) {
    const owner = `user-with-${count}`;
    await isolate.tell("settings", { vars: { OWNER: owner } });
    for (let i = 0; i < count; i += 1) await one(undefined, "POST");
    keep(`"log out everywhere", sessions: ${count}`, await isolate.tell("call", { name: "revokeAll", args: [owner] }));
    const { result } = await isolate.tell("call", { name: "list", args: [owner] });
    if (result !== 0) throw new Error(`${result} sessions are left after "log out everywhere"`);
  }
  await isolate.stop();
  return rows;
}

export async function objects({ quick = false, log }) {
  log("requests to objects");
  const asked = await operations();
  const traces = {};
  for (const [trace, make] of Object.entries(TRACES)) {
    log(`${trace} trace: ${IN_OBJECTS}, ${IN_KV}`);
    const events = make(quick ? { sessions: 20 } : {});
    const found = { objects: await replay(IN_OBJECTS, events, { start: START, objects: true }), kv: await replay(IN_KV, events) };
    for (const [name, { total }] of Object.entries(found)) {
      if (total.failed > 0) throw new Error(`${name}: ${total.failed} requests of the ${trace} trace failed`);
    }
    traces[trace] = found;
  }
  const { results, rounds } = await cpu({ quick, only: [IN_KV, IN_ROWS, IN_OBJECTS], cells: CELLS, log });
  for (const [id, { title, contenders }] of Object.entries(results)) {
    const expected = id.startsWith("write") ? 2 : 1;
    for (const name of [IN_ROWS, IN_OBJECTS]) {
      const { calls } = contenders[name].per;
      if (Math.abs(calls - expected) > 0.001) throw new Error(`${title}: ${calls} requests to objects, not ${expected}`);
    }
  }
  return { operations: asked, traces, cpu: { results, rounds } };
}

export function report({ operations, traces, cpu: { results, rounds } }, print) {
  print("", "What one request asks of Durable Objects.", "");
  print("| | requests to objects | rows read | rows written | alarms set |", "|---|---|---|---|---|");
  for (const { title, calls, rowsRead, rowsWritten, alarmsSet } of operations) {
    print(`| ${title} | ${calls} | ${rowsRead} | ${rowsWritten} | ${alarmsSet} |`);
  }

  print("", "The two traces. Sums for all of it; dollars for a million such requests.", "");
  print(
    "| trace | $ per million | goal | $ per million in KV | requests to objects | of them alarms | rows read | rows written | alarms set | Set-Cookie headers | storage, $ per million |",
    `|---|${"---|".repeat(10)}`,
  );
  for (const [trace, found] of Object.entries(traces)) {
    const { total, sums } = found.objects;
    const price = dollarsPerMillion(found.objects);
    const goal = GOAL[trace] ? `$${GOAL[trace].toFixed(2)}: ${price < GOAL[trace] ? "reached" : "**missed**"}` : "-";
    print(
      `| ${trace} | ${price.toFixed(2)} | ${goal} | ${dollarsOfKv(found.kv.total).toFixed(2)} | ${total.calls} | ${sums.alarm.calls} | ` +
        `${total.rowsRead} | ${total.rowsWritten} | ${total.alarmsSet} | ${total.setCookies} | ${storagePerMillion(found.objects).toFixed(2)} |`,
    );
  }

  print("", `CPU of the Worker per request over a Worker without sessions, as ratios to sessions in KV: medians of ${rounds} samples, all in one run.`, "");
  print("| | goal | the library over rows in memory | with the requests to objects | middle half of the samples over their median: KV, rows, objects |", "|---|---|---|---|---|");
  for (const { title, contenders } of Object.values(results)) {
    const [kv, rows, objects] = [contenders[IN_KV], contenders[IN_ROWS], contenders[IN_OBJECTS]];
    const spread = ({ median, low, high }) => `${(low / median).toFixed(2)}–${(high / median).toFixed(2)}`;
    const over = (one) => `${(one.median / kv.median).toFixed(2)}x`;
    print(`| ${title} | ${title.includes("write") ? "at most 1.00x" : "-"} | ${over(rows)} | ${over(objects)} | ${[kv, rows, objects].map(spread).join(", ")} |`);
  }
}
