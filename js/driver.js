// Drives the core: sends its requests to the store and passes the answers back, until it is done.

import { dice, reply, unwatch, watch } from "./core.js";
import { Timeout, TimeLimit, pause } from "./time-limit.js";

/**
 * Parallel writes: an invocation of a Worker may wait for six responses at a time
 * (https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections).
 */
const WRITES = 6;

const NOT_STARTED = "this write was not started, because the store did not answer another one in time";

const nothing = () => {};

/**
 * Runs a step to its end. `told` is the core's latest answer. `world` has its `config`, the time
 * `limit` on the store, the handler's `context`, a `sink` for events, `causes` for errors that the
 * store throws, and `mints`, which is true if the step needs random bytes.
 *
 * From the first write on, or from the start if it ends sessions (`isEnd`), the step is also registered with
 * the context's `waitUntil`, so that it finishes if the browser disconnects.
 */
export function drive(told, handle, world, context = world.context) {
  let isHeld = !context;
  const holdFromWrite = ({ ask }) => {
    if (isHeld || !ask || !(world.isEnd || isWrite(ask))) return;
    isHeld = true;
    hold(context, running);
  };
  // It calls the function only after it has waited, when there is a promise to hold.
  const running = run(told, handle, world, holdFromWrite);
  holdFromWrite(told);
  return running;
}

/** Calls `heard` with each further answer of the core. */
async function run(told, handle, world, heard) {
  const { config, limit } = world;
  while (told.ask) {
    let record;
    let rest;
    try {
      const answer = await send(told, world);
      if (told.ask.read) {
        record = answer[0] ?? undefined;
        // A load reads a record and markers. Markers are usually absent.
        if (answer.some((value, i) => i > 0 && typeof value === "string")) rest = JSON.stringify(answer.slice(1));
      } else {
        rest = JSON.stringify(answer);
      }
    } catch (thrown) {
      rest = JSON.stringify({ error: failure(thrown, world) });
    }
    limit.answered();
    // After a failure the step may retry after a random pause.
    const random = world.mints || rest ? dice() : undefined;
    told = hear(reply(handle, record, rest, config.instant(), random), world);
    heard(told);
  }
  if (told.later) {
    // After a login, older sessions of the user may have to end. The response does not wait for that.
    const limit = new TimeLimit(world.config);
    const apart = { ...world, limit };
    watch(limit, told.later); // for a request that ends meanwhile
    const begun = hear(reply(told.later, undefined, undefined, world.config.instant(), dice()), apart);
    const later = drive(begun, told.later, apart, null).finally(() => {
      unwatch(limit);
      limit.stop();
    });
    if (world.context) hold(world.context, later);
    else await later;
  }
  return told;
}

/** The operations that end sessions. */
export const ENDS_SESSIONS = new Set(["destroy", "flush", "delete", "deleteOther", "revoke", "revokeAll"]);

const isWrite = (ask) => ask.write !== undefined || ask.rows?.operation === "transact";

/** Keeps the handler's context alive until the promise is settled. */
function hold(context, promise) {
  const settled = promise.then(nothing, nothing);
  try {
    context.waitUntil(settled);
  } catch {
    // The request has ended already: the work runs as long as the platform allows.
  }
}

/** Passes on the events and warnings of an answer. */
export function hear(told, { sink }) {
  if (told.events) for (const event of told.events) sink?.(event);
  if (told.warnings) for (const line of told.warnings) console.warn(line);
  return told;
}

/**
 * Carries out what the core asks for. It is async, so that a store that throws at once fails like any
 * other. Returns the values of a read, a list or rows, and the failures of writes, if there are any.
 */
async function send({ ask, within, lines }, world) {
  const { config, limit } = world;
  const { port } = config;
  if (ask.read) {
    const { keys, cacheTtl } = ask.read;
    const values = await limit.within(port.read(keys, cacheTtl), within);
    if (values.length !== keys.length) throw new Error(`asked for ${keys.length} keys, it answered ${values.length}`);
    return values;
  }
  if (ask.write) return writeAll(ask.write, within, lines, world);
  if (ask.list) return limit.within(port.list(ask.list.prefix, ask.list.cursor), within);
  if (ask.rows) return limit.within(port.rows(ask.rows), within);
  await (config.clock.sleep ? config.clock.sleep(ask.sleep) : pause(ask.sleep));
  return undefined;
}

/** The failure of each write, null for one that succeeded; undefined if all did. */
async function writeAll(writes, within, lines, world) {
  if (writes.length === 1) {
    const failed = await write(writes[0], within, lines, world);
    return failed === null ? undefined : [failed];
  }
  const results = [];
  let next = 0;
  // If one is not answered in time, no others are started.
  let isLate = false;
  const lane = async () => {
    while (next < writes.length) {
      const place = next;
      next += 1;
      results[place] = isLate ? failure(new Error(NOT_STARTED), world) : await write(writes[place], within, lines, world);
      isLate ||= results[place]?.timeout === true;
    }
  };
  await Promise.all(Array.from({ length: Math.min(WRITES, writes.length) }, lane));
  return results.some((failed) => failed !== null) ? results : undefined;
}

/** The failure of a write, or null. */
async function write({ put, ttl, metadata, line, delete: key }, within, lines, world) {
  const { config, limit } = world;
  try {
    await limit.within(key === undefined ? config.port.put(put, lines[line - 1], ttl, metadata) : config.port.delete(key), within);
    return null;
  } catch (thrown) {
    return failure(thrown, world);
  }
}

/** Describes a thrown value to the core. The value itself stays here, in `causes`. */
function failure(thrown, { causes }) {
  return {
    code: textOf(thrown, "code"),
    message: typeof thrown === "string" ? thrown : textOf(thrown, "message"),
    timeout: thrown instanceof Timeout,
    cause: causes.push(thrown) - 1,
  };
}

/** A property as a string. Getters of unusual errors may throw. */
function textOf(thrown, name) {
  try {
    const text = thrown?.[name];
    return typeof text === "string" ? text.toWellFormed() : undefined;
  } catch {
    return undefined;
  }
}
