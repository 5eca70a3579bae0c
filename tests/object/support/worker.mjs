// Passes a test's requests to an object of either implementation, and inspects it.

import { DurableObject } from "cloudflare:workers";
import { SessionObject as Implementation } from "./implementation.js";
import { ObjectConnector } from "./object-connector.js";

const realNow = Date.now;
let clock = { offset: 0 };
Date.now = () => clock.at ?? realNow() + clock.offset;

// The object's storage calls, in order. All objects of a Worker share an isolate and this log, so a test uses
// one object at a time.
const meter = { cursors: [], statements: 0, failAt: 0, alarmsSet: 0 };
/** A value for `failAt`: after every statement of a transaction. */
const AT_THE_END = -1;
/** If set, deleting an alarm waits for it. */
let hold = null;

function watch(storage) {
  const sql = Object.getPrototypeOf(storage.sql);
  if (Object.hasOwn(sql, "watched")) return;
  const { exec } = sql;
  Object.assign(sql, {
    watched: true,
    exec(...args) {
      meter.statements += 1;
      if (meter.statements === meter.failAt) throw new Error("told to fail");
      const cursor = exec.apply(this, args);
      meter.cursors.push(cursor);
      return cursor;
    },
  });
  const prototype = Object.getPrototypeOf(storage);
  const { setAlarm, deleteAlarm, transactionSync } = prototype;
  prototype.setAlarm = function (...args) {
    meter.alarmsSet += 1;
    return setAlarm.apply(this, args);
  };
  prototype.deleteAlarm = async function () {
    const held = hold;
    await deleteAlarm.call(this);
    await held;
  };
  prototype.transactionSync = function (turn) {
    return transactionSync.call(this, () => {
      const result = turn();
      if (meter.failAt === AT_THE_END) throw new Error("told to fail");
      return result;
    });
  };
}

function reset(failAt = 0) {
  Object.assign(meter, { cursors: [], statements: 0, failAt, alarmsSet: 0 });
}

const sum = (name) => meter.cursors.reduce((total, cursor) => total + cursor[name], 0);

/** The implementation under test, unchanged, with methods to inspect its storage. */
export class Watched extends DurableObject {
  #inner;
  #alarms = 0;
  #waiting = [];

  constructor(ctx, env) {
    super(ctx, env);
    watch(ctx.storage);
    this.#inner = new Implementation(ctx, env);
  }

  fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const look = this.#looks[pathname];
    return look ? look(searchParams).then((result) => Response.json(result ?? null)) : this.#inner.fetch(request);
  }

  async alarm() {
    if (clock.atAlarm) clock.at += clock.atAlarm;
    await this.#inner.alarm();
    this.#alarms += 1;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #looks = {
    /** The contents of the disk, read with statements that are not counted. */
    "/test/state": async () => {
      const { storage } = this.ctx;
      const rows = (statement) => storage.sql.exec(statement).toArray();
      const tables = rows("SELECT name FROM sqlite_master").map(({ name }) => name);
      const mine = tables.includes("sessions") ? rows("SELECT * FROM sessions ORDER BY key") : [];
      return { id: String(this.ctx.id), tables, rows: mine, alarm: await storage.getAlarm(), alarms: this.#alarms };
    },
    "/test/fill": async (query) => {
      const { sql } = this.ctx.storage;
      const dead = query.has("dead") ? Number(query.get("dead")) : null;
      sql.exec(
        `WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
         INSERT INTO sessions SELECT 'fill.' || printf('%06d', i), 'v', NULL, 'r', ?, ? FROM n`,
        Number(query.get("from")),
        Number(query.get("to")),
        Number(query.get("expiresAt")),
        dead,
      );
    },
    "/test/alarm/run": () => this.alarm(),
    /** Runs the cleanup, with a put before it has ended. */
    "/test/alarm/interrupted": async (query) => {
      const { promise, resolve } = Promise.withResolvers();
      hold = promise;
      const cleaning = this.alarm();
      hold = null;
      const response = await this.#inner.fetch(new Request("https://object/v1/transact", { method: "POST", body: query.get("body") }));
      resolve();
      await cleaning;
      return response.json();
    },
    "/test/alarm/drop": () => this.ctx.storage.deleteAlarm(),
    /** Responds when this many alarms have fired. */
    "/test/alarm/wait": async (query) => {
      while (this.#alarms < Number(query.get("count"))) await new Promise((resolve) => this.#waiting.push(resolve));
    },
    "/test/abort": async () => this.ctx.abort("told to abort"),
  };
}

/** The class as a Worker exports it. */
export { Implementation as SessionObject };

const controls = {
  "/clock": async (request) => void (clock = await request.json()),
  "/meter/reset": async (request) => reset(await request.json()),
  "/meter": async () => ({ read: sum("rowsRead"), written: sum("rowsWritten"), alarmsSet: meter.alarmsSet, statements: meter.statements }),
};

async function connector(request, env) {
  const { method, args } = await request.json();
  try {
    return { result: await new ObjectConnector(env.WATCHED)[method](...args) };
  } catch ({ code, message }) {
    return { error: { code, message } };
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/connector") return Response.json(await connector(request, env));
    const control = controls[url.pathname];
    if (control) return Response.json((await control(request)) ?? null);
    const [, binding, name, ...path] = url.pathname.split("/");
    const namespace = env[binding];
    const target = new URL(`https://object/${path.join("/")}${url.search}`);
    try {
      return await namespace.get(namespace.idFromName(name)).fetch(new Request(target, request));
    } catch (error) {
      return Response.json({ thrown: error.message }, { status: 599 });
    }
  },
};
