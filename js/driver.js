// Drives the core: sends its requests to the store and passes the answers back, until it is done.

import { dice, reply } from "./core.js";
import { Timeout, TimeLimit, pause } from "./time-limit.js";

/**
 * Parallel writes: an invocation of a Worker may wait for six responses at a time
 * (https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections).
 */
const WRITES = 6;

const nothing = () => {};

/**
 * Runs a step to its end. `told` is the core's latest answer. `world` has its `config`, the time
 * `limit` on the store, the handler's `context`, a `sink` for events, `causes` for errors that the
 * store throws, and `mints`, which is true if the step needs random bytes.
 *
 * From the first write on, the step is also registered with the context's `waitUntil`, so that it
 * finishes if the browser disconnects.
 */
export async function drive(told, handle, world, context = world.context) {
  let release;
  try {
    while (told.ask) {
      if (context && !release && isWrite(told.ask)) release = hold(context);
      told = await answer(told, handle, world);
    }
  } finally {
    release?.();
  }
  if (told.later) {
    // After a login, older sessions of the user may have to end. The response does not wait for that.
    const limit = new TimeLimit(world.config);
    const apart = { ...world, limit };
    const begun = hear(reply(told.later, undefined, undefined, world.config.instant(), dice()), apart);
    const later = drive(begun, told.later, apart, null).finally(() => limit.stop());
    if (world.context) {
      const done = hold(world.context);
      later.then(done, done);
    } else {
      await later;
    }
  }
  return told;
}

const isWrite = (ask) => ask.write !== undefined || ask.rows?.operation === "transact";

/** Keeps the handler's context alive until the returned function is called. */
function hold(context) {
  let release = nothing;
  try {
    context.waitUntil(
      new Promise((resolve) => {
        release = resolve;
      }),
    );
  } catch {
    // The request has ended already: the work runs as long as the platform allows.
  }
  return release;
}

/** Passes on the events and warnings of an answer. */
export function hear(told, { sink }) {
  if (told.events) for (const event of told.events) sink?.(event);
  if (told.warnings) for (const line of told.warnings) console.warn(line);
  return told;
}

/** Sends a request to the store and passes the answer to the core. */
async function answer({ ask, lines }, handle, world) {
  const { config, limit } = world;
  const { port } = config;
  let record;
  let rest;
  try {
    if (ask.read) {
      const { keys, cacheTtl } = ask.read;
      const values = await limit.within(port.read(keys, cacheTtl));
      if (values.length !== keys.length) throw new Error(`asked for ${keys.length} keys, it answered ${values.length}`);
      record = values[0] ?? undefined;
      // A load reads a record and markers. Markers are usually absent.
      if (values.some((value, i) => i > 0 && typeof value === "string")) rest = values.slice(1);
    } else if (ask.write) {
      const failures = await writeAll(ask.write, async (write) => {
        try {
          await limit.within(
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
      rest = await limit.within(port.list(ask.list.prefix, ask.list.cursor));
    } else if (ask.rows) {
      rest = await limit.within(port.rows(ask.rows));
    } else {
      await (config.clock.sleep ? config.clock.sleep(ask.sleep) : pause(ask.sleep));
    }
  } catch (thrown) {
    rest = { error: failure(thrown, world) };
  }
  limit.answered();
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
