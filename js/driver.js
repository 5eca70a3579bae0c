// Drives the steps of the core: asks the store for what a step asks for, until it is done.

import { dice, reply } from "./core.js";

/**
 * Writes at a time: a Worker's invocation waits for no more answers at once
 * (https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections).
 */
const WRITES = 6;

const nothing = () => {};

/**
 * Sees a step through that has `told` what it asks for. `world` is where it takes place: its
 * `realm`, the handler's `context`, a `sink` for events, `causes` for what the store throws, and
 * whether the step `mints`, which takes random bytes.
 *
 * From the first write on, the rest is handed to the context's `waitUntil` as well: a browser that
 * goes away does not cut it short.
 */
export async function drive(told, handle, world, context = world.context) {
  while (told.ask) {
    if (context && told.ask.write) {
      const rest = drive(told, handle, world, null);
      hold(context, rest);
      return rest;
    }
    told = await answer(told, handle, world);
  }
  if (told.later) {
    // What nobody has to wait for: older sessions of a user who logged in are ended.
    const later = drive(hear(reply(told.later, undefined, undefined, world.realm.instant(), dice()), world), told.later, world, null);
    if (world.context) hold(world.context, later);
    else await later;
  }
  return told;
}

/** Registers what is under way with a handler's context. Each step has a caller of its own for what it throws. */
function hold(context, promise) {
  try {
    context.waitUntil(promise.then(nothing, nothing));
  } catch {
    // After the end of the request: it runs for as long as it may.
  }
}

/** Passes on what the core tells beside its answer. */
export function hear(told, { sink }) {
  if (told.events) for (const event of told.events) sink?.(event);
  if (told.warnings) for (const line of told.warnings) console.warn(line);
  return told;
}

/** Asks the store, and tells the core what it answered. */
async function answer({ ask, lines }, handle, world) {
  const { realm } = world;
  const { port } = realm;
  const inTime = (operation) => within(realm.storeTimeout, operation);
  let record;
  let rest;
  try {
    if (ask.read) {
      const { keys, cacheTtl } = ask.read;
      const values = await inTime(() => port.read(keys, cacheTtl));
      if (values.length !== keys.length) throw new Error(`asked for ${keys.length} keys, it answered ${values.length}`);
      record = values[0] ?? undefined;
      // Of what a load reads, all but the first are markers, which are absent as a rule.
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
    } else {
      await (realm.clock.sleep ? realm.clock.sleep(ask.sleep) : pause(ask.sleep));
    }
  } catch (thrown) {
    rest = { error: failure(thrown, world) };
  }
  const text = rest && JSON.stringify(rest);
  // After a failure the step may try again, not at the same time as others.
  const random = world.mints || rest ? dice() : undefined;
  return hear(reply(handle, record, text, realm.instant(), random), world);
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

/** The store did not answer in time: whether it has written is not known. */
class Timeout extends Error {}

/** What `operation` answers, unless that takes longer than so many seconds. */
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

/** What the core is told of something that was thrown; the object itself stays here. */
function failure(thrown, { causes }) {
  return {
    code: textOf(thrown, "code"),
    message: typeof thrown === "string" ? thrown : textOf(thrown, "message"),
    timeout: thrown instanceof Timeout,
    cause: causes.push(thrown) - 1,
  };
}

/** The text of a property. A getter of an exotic error may itself throw. */
function textOf(thrown, name) {
  try {
    const text = thrown?.[name];
    return typeof text === "string" ? text.toWellFormed() : undefined;
  } catch {
    return undefined;
  }
}
