// The Durable Object of the package, which counts what is billed, and its alarms by the bench's clock.

import { SessionObject as Implementation } from "edge-session/durable-object";
import { clock } from "./clock.mjs";

export const counts = {};
/** When each object is to be woken, by its id. */
const alarms = new Map();
/** Objects that store something: since when, by id. */
const stored = new Map();
let hours = 0;

export function reset() {
  Object.assign(counts, { calls: 0, rowsRead: 0, rowsWritten: 0, alarmsSet: 0 });
}
reset();

/** The hours for which objects have had a database, all together. */
export const objectHours = () => hours;

function watch(storage, id) {
  const sql = {
    exec(...args) {
      const cursor = storage.sql.exec(...args);
      return {
        toArray() {
          const rows = cursor.toArray();
          counts.rowsRead += cursor.rowsRead;
          counts.rowsWritten += cursor.rowsWritten;
          return rows;
        },
      };
    },
  };
  return {
    sql,
    transactionSync: (turn) => storage.transactionSync(turn),
    getAlarm: async () => alarms.get(id) ?? null,
    async setAlarm(at) {
      counts.alarmsSet += 1;
      alarms.set(id, at);
      if (!stored.has(id)) stored.set(id, clock.now);
    },
    async deleteAlarm() {
      alarms.delete(id);
    },
    async deleteAll() {
      hours += (clock.now - stored.get(id)) / 3_600_000;
      stored.delete(id);
      await storage.deleteAll();
    },
  };
}

/** The alarm is kept here, since the runtime would set it off by its own clock. */
export class SessionObject extends Implementation {
  constructor(ctx, env) {
    super(ctx, env);
    Object.defineProperty(this, "ctx", { value: { storage: watch(ctx.storage, String(ctx.id)) } });
  }

  async fetch(request) {
    counts.calls += 1;
    if (!request.url.endsWith("/bench/alarm")) return super.fetch(request);
    await this.alarm();
    return new Response();
  }
}

/** Sets off, in their order, the alarms that are due by `until`. */
export async function runAlarms(namespace, until) {
  for (;;) {
    const [next] = [...alarms].filter(([, at]) => at <= until).sort(([, one], [, other]) => one - other);
    if (!next) return;
    const [id, at] = next;
    clock.now = Math.max(clock.now, at);
    alarms.delete(id);
    await (await namespace.get(namespace.idFromString(id)).fetch("https://object/bench/alarm")).text();
  }
}
