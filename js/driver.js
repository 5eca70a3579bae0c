// Drives the core: sends its requests to the store and passes the answers back, until it is done.

import { dice, reply } from "./core.js";

/**
 * Parallel writes: an invocation of a Worker may wait for six responses at a time
 * (https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections).
 */
const WRITES = 6;

const nothing = () => {};

/**
 * Runs a step to its end. `told` is its last answer. `world` has its `config`, the handler's
 * `context`, a `sink` for events, `causes` for errors that the store throws, and `mints`, which is
 * true if the step needs random bytes.
 *
 * From the first write on, the rest is also passed to the context's `waitUntil`, so that it finishes
 * if the browser disconnects.
 */
export async function drive(told, handle, world, context = world.context) {
  while (told.ask) {
    if (context && (told.ask.write || told.ask.rows?.operation === "transact")) {
      const rest = drive(told, handle, world, null);
      hold(context, rest);
      return rest;
    }
    told = await answer(told, handle, world);
  }
  if (told.later) {
    // After a login, older sessions of the user may have to end. The response does not wait for that.
    const later = drive(hear(reply(told.later, undefined, undefined, world.config.instant(), dice()), world), told.later, world, null);
    if (world.context) hold(world.context, later);
    else await later;
  }
  return told;
}

/** Registers running work with a handler's context. Errors go to the caller of the step, not here. */
function hold(context, promise) {
  try {
    context.waitUntil(promise.then(nothing, nothing));
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

/** Sends a request to the store and passes the answer to the core. */
async function answer({ ask, lines }, handle, world) {
  const { config } = world;
  const { port } = config;
  const inTime = (operation) => within(config.storeTimeout, operation);
  let record;
  let rest;
  try {
    if (ask.read) {
      const { keys, cacheTtl } = ask.read;
      const values = await inTime(() => port.read(keys, cacheTtl));
      if (values.length !== keys.length) throw new Error(`asked for ${keys.length} keys, it answered ${values.length}`);
      record = values[0] ?? undefined;
      // A load reads a record and markers. Markers are usually absent.
      if (values.some((value, i) => i > 0 && typeof value === "string")) rest = values.slice(1);
    } else if (ask.write) {
      const failures = await writeAll(ask.write, async (write) => {
        try {
          await inTime(() =>
            write.delete === undefined
              ? port.put(write.put, lines[write.line - 1], write.ttl, write.metadata)
              : port.delete(write.delete),
          );
          return null;
        } catch (thrown) {
          return failure(thrown, world);
        }
      });
      if (failures.some((failure) => failure !== null)) rest = failures;
    } else if (ask.list) {
      rest = await inTime(() => port.list(ask.list.prefix, ask.list.cursor));
    } else if (ask.rows) {
      rest = await inTime(() => port.rows(ask.rows));
    } else {
      await (config.clock.sleep ? config.clock.sleep(ask.sleep) : pause(ask.sleep));
    }
  } catch (thrown) {
    rest = { error: failure(thrown, world) };
  }
  const text = rest && JSON.stringify(rest);
  // After a failure the step may retry after a random pause.
  const random = world.mints || rest ? dice() : undefined;
  return hear(reply(handle, record, text, config.instant(), random), world);
}

async function writeAll(writes, write) {
  if (writes.length === 1) return [await write(writes[0])];
  const results = [];
  let next = 0;
  const lane = async () => {
    while (next < writes.length) {
      const place = next;
      next += 1;
      results[place] = await write(writes[place]);
    }
  };
  await Promise.all(Array.from({ length: WRITES }, lane));
  return results;
}

/** The store did not answer in time. A write may or may not have happened. */
class Timeout extends Error {}

/** The result of `operation`. Throws a Timeout after this many seconds. */
function within(seconds, operation) {
  return new Promise((resolve, reject) => {
    const answer = operation();
    if (typeof answer?.then !== "function") {
      resolve(answer);
      return;
    }
    const end = () =>
      reject(new Timeout(`the store did not answer within ${seconds} seconds (SESSION_STORE_TIMEOUT)`));
    const timer = later(end, seconds * 1000);
    const settled = (settle) => (value) => {
      clearTimeout(timer);
      settle(value);
    };
    Promise.resolve(answer).then(settled(resolve), settled(reject));
  });
}

const pause = (milliseconds) =>
  new Promise((resolve) => {
    // No timers here: resolve immediately.
    if (later(resolve, milliseconds) === undefined) resolve();
  });

function later(act, milliseconds) {
  try {
    return setTimeout(act, milliseconds);
  } catch {
    return undefined;
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
