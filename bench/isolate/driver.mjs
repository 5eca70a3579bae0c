// What runs beside a contender in its isolate: it makes requests, hands them to the contender's
// fetch handler in a loop, and is told over HTTP what to do. The clock of an isolate stands still
// while it computes: time is measured outside.

import { clock } from "./clock.mjs";
import { dataOf, keysOf } from "./data.mjs";
import { Jar } from "./jar.mjs";
import { MemoryKv } from "./kv.mjs";
import { census } from "./census.mjs";

const SITE = "https://shop.example/account";

/** The Worker that uses no sessions at all. */
const none = {
  async fetch() {
    return new Response("ok");
  },
};

/**
 * Sessions in Durable Objects are kept in `memory`, or in the runtime's, of which `objects` knows what
 * they are asked.
 */
export function drive(contender, { memory, objects } = {}) {
  const kv = new MemoryKv();
  const env = {
    SESSIONS: kv,
    SESSION_OBJECTS: memory,
    SESSION_SECRET: "Wn4yq0JtRkS7vE2mHcZx8aLdUoPb5fTgQi1YsXe9",
    DATA: dataOf(100),
  };
  const reset = () => {
    kv.reset();
    objects?.reset();
    if (memory) memory.calls = 0;
  };
  const counted = () => ({ ...kv.counts, ...(memory && { calls: memory.calls }), ...objects?.counts });
  /** Cookie headers of sessions that were made, by the name of the pool. */
  const pools = new Map();

  const send = (handler, method, cookie, ctx) => {
    const init = cookie ? { method, headers: { cookie } } : { method };
    return handler.fetch(new Request(SITE, init), env, ctx);
  };

  async function make(count, ctx, gap = 10) {
    const made = [];
    for (let i = 0; i < count; i += 1) {
      clock.now += gap;
      const jar = new Jar();
      const response = await send(contender, "POST", undefined, ctx);
      if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
      jar.take(response);
      made.push(jar);
    }
    return made;
  }

  const actions = {
    settings({ vars }) {
      Object.assign(env, vars);
    },

    /**
     * Makes sessions with `size` bytes of data each, after those that the pool has and has not used,
     * for browsers that come back after `wait` milliseconds: what has ended by then stays behind.
     */
    async pool({ name, size, keys, count, wait }, ctx) {
      const pool = pools.get(name) ?? { cookies: [], next: 0, size, keys };
      pools.set(name, pool);
      env.DATA = pool.keys ? keysOf(pool.keys) : dataOf(pool.size);
      const jars = await make(count, ctx);
      pool.cookies = pool.cookies.slice(pool.next).concat(jars.map((jar) => jar.header(clock.now + wait)));
      pool.next = 0;
      return { example: pool.cookies[0] };
    },

    /** Lets `milliseconds` pass. */
    pass({ milliseconds }) {
      clock.now += milliseconds;
    },

    drop({ name }) {
      pools.delete(name);
    },

    /** An empty namespace. */
    clear() {
      kv.clear();
    },

    /** `n` requests one after another. `tick` milliseconds pass before each. */
    async run({ pool: name, method, n, tick = 0, forged = false, once = false, bare = false, few = 0 }, ctx) {
      const handler = bare ? (contender.bare ?? none) : contender;
      const pool = name === undefined ? undefined : pools.get(name);
      let cookies = pool?.cookies;
      if (forged) cookies = pool.forged ??= pool.cookies.slice(0, 1000).map((cookie) => contender.forge(cookie));
      const length = few || cookies?.length;
      let next = forged || few ? 0 : (pool?.next ?? 0);
      if (once && next + n > length) throw new Error("the pool is used up");
      reset();
      let failed = 0;
      for (let i = 0; i < n; i += 1) {
        clock.now += tick;
        let cookie;
        if (cookies) {
          cookie = cookies[next];
          next += 1;
          if (next === length && !once) next = 0;
        }
        const response = await send(handler, method, cookie, ctx);
        if (response.status !== 200) failed += 1;
      }
      // The requests without a session go round the same cookies, and leave the pool as it was.
      if (pool && !forged && !few && !bare) pool.next = next;
      return { ...counted(), failed };
    },

    /** One request and its answer's cookies. */
    async one({ method, cookie }, ctx) {
      reset();
      const response = await send(contender, method, cookie, ctx);
      return {
        status: response.status,
        text: await response.text(),
        setCookie: response.headers.getSetCookie(),
        ...counted(),
      };
    },

    /** `n` requests at the same time, `rounds` times. */
    async parallel({ pool: name, method, n, rounds, tick = 0, bare = false }, ctx) {
      const handler = bare ? (contender.bare ?? none) : contender;
      const pool = pools.get(name);
      let failed = 0;
      for (let round = 0; round < rounds; round += 1) {
        clock.now += tick;
        const answers = [];
        for (let i = 0; i < n; i += 1) {
          answers.push(send(handler, method, pool.cookies[(round * n + i) % pool.cookies.length], ctx));
        }
        for (const response of await Promise.all(answers)) if (response.status !== 200) failed += 1;
      }
      return { failed };
    },

    /** `n` requests of all kinds to the sessions of a pool. */
    async soak({ pool: name, n, tick }, ctx) {
      const pool = pools.get(name);
      const statuses = {};
      // Its promises are not kept: the request that this runs in is a long one.
      const context = { waitUntil() {}, passThroughOnException() {} };
      const ask = async (i) => {
        const cookie = pool.cookies[(i * 7919) % pool.cookies.length];
        const kind = i % 20;
        const [method, header] =
          kind < 11 ? ["GET", cookie]
          : kind < 16 ? ["PUT", cookie]
          : kind === 16 ? ["POST", undefined]
          : kind === 17 ? ["GET", contender.forge(cookie)]
          : kind === 18 ? ["GET", undefined]
          : ["DELETE", pool.cookies[i % 100]];
        const { status } = await send(contender, method, header, context);
        statuses[status] = (statuses[status] ?? 0) + 1;
      };
      for (let i = 0; i < n; i += 1) {
        clock.now += tick;
        const at = (pool.next += 1);
        // Now and then many at once.
        if (at % 1000 < 16) await Promise.all(Array.from({ length: 16 }, (_, j) => ask(at * 16 + j)));
        else await ask(at);
      }
      return statuses;
    },

    /** Follows browsers through a trace: what each request costs on the wire. */
    async trace({ events, start }, ctx) {
      kv.clear();
      kv.measureBytes = true;
      clock.now = start;
      env.DATA = { views: 0 };
      const jars = new Map();
      const sums = {};
      const add = (kind, cost) => {
        const sum = (sums[kind] ??= { requests: 0 });
        sum.requests += 1;
        for (const [name, value] of Object.entries(cost)) sum[name] = (sum[name] ?? 0) + value;
      };
      /** What objects do by themselves, which no request of a visitor asks for. */
      const alarms = async (until) => {
        reset();
        await objects.runAlarms(env.SESSION_OBJECTS, until);
        add("alarm", objects.counts);
        sums.alarm.requests = 0;
      };
      for (const { at, who, kind, method } of events) {
        if (objects) await alarms(start + at);
        clock.now = start + at;
        reset();
        let jar = jars.get(who);
        if (!jar) jars.set(who, (jar = new Jar()));
        env.OWNER = method === "POST" ? `user-${who}` : undefined;
        let cookie = jar.header();
        if (kind === "forged") cookie = contender.forge(cookie);
        const pending = [];
        const waiting = { waitUntil: (promise) => void pending.push(promise), passThroughOnException() {} };
        const response = await send(contender, method, cookie, waiting);
        await Promise.all(pending);
        const lines = response.headers.getSetCookie();
        // Whoever sends what he made up keeps no cookies of ours.
        if (kind !== "forged" && kind !== "bot") jar.take(response);
        add(kind, {
          ...counted(),
          setCookies: lines.length,
          setCookieBytes: lines.reduce((sum, line) => sum + "Set-Cookie: \r\n".length + line.length, 0),
          cookieBytes: cookie ? "Cookie: \r\n".length + cookie.length : 0,
          failed: response.status === 200 ? 0 : 1,
          found: kind === "read" && (await response.text()) !== "none" ? 1 : 0,
        });
      }
      kv.measureBytes = false;
      if (objects) await alarms(Infinity);
      return { sums, keys: kv.kinds, objectHours: objects?.objectHours() };
    },

    census: () => census(),

    /** What a contender can do beside its fetch handler, such as `list`. */
    async call({ name, args = [], n = 1, tick = 0 }, ctx) {
      let result;
      reset();
      for (let i = 0; i < n; i += 1) {
        clock.now += tick;
        result = await contender[name](env, ctx, ...args);
      }
      return { result, ...counted() };
    },
  };

  return {
    async fetch(request, bound, ctx) {
      if (objects) env.SESSION_OBJECTS = bound.SESSION_OBJECTS;
      // The very first answer of a Worker, for the time that a start takes.
      if (request.headers.has("x-start")) return contender.fetch(request, env, ctx);
      const { action, ...rest } = await request.json();
      try {
        return Response.json((await actions[action](rest, ctx)) ?? {});
      } catch (error) {
        return new Response(`${action}: ${error?.stack ?? error}`, { status: 500 });
      }
    },
  };
}
