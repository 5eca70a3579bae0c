// The wasm core: how it is initialised, and the calls into it.

import * as glue from "./glue.js";
import { SessionError, learn } from "./errors.js";

let ready = false;

/** Releases the core's part of sessions that were never committed. */
let forgotten;

/**
 * Initialises the package in a bundler or runtime that has no entry of its own. `module` is the
 * `WebAssembly.Module` of `edge-session/session.wasm`. A second call does nothing.
 */
export function init(module) {
  if (ready) return;
  if (typeof FinalizationRegistry === "undefined") {
    throw new SessionError(
      "not_ready",
      "edge-session needs FinalizationRegistry: set compatibility_date to 2025-05-05 or later",
    );
  }
  if (!(module instanceof WebAssembly.Module)) {
    throw new SessionError(
      "not_ready",
      "init needs the WebAssembly.Module of edge-session/session.wasm",
    );
  }
  glue.initSync({ module });
  learn(() => JSON.parse(glue.errorCodes()), glue.complain);
  forgotten = new FinalizationRegistry(release);
  ready = true;
}

let advice = "edge-session is not ready: call init(module) with the module of edge-session/session.wasm first";

/** Replaces the message for use before initialisation: an entry may know more. */
export function advise(message) {
  advice = message;
}

function check() {
  if (!ready) throw new SessionError("not_ready", advice);
}

/** Numbers that the core may release. The next call passes them on. */
const ended = [];

/** Releases the core's object with this number. */
export function release(number) {
  ended.push(number);
}

const released = () => (ended.length > 0 ? new Uint32Array(ended.splice(0)) : undefined);

/** Releases `number` when `object` is garbage-collected, unless `unwatch` was called before. */
export const watch = (object, number) => forgotten.register(object, number, object);
export const unwatch = (object) => forgotten.unregister(object);

/** Enough for a token, a nonce and the retries of the longest step. */
const bytes = new Uint8Array(128);

/** Random bytes for a step of the core; undefined if there are none, as at module scope. */
export function dice() {
  try {
    return crypto.getRandomValues(bytes);
  } catch {
    return undefined;
  }
}

/**
 * An answer of the core: the JSON of its first line, and the following lines as `lines`. The first of
 * these has the details of a session, which are parsed when the application asks for them.
 */
function read(text) {
  const at = text.indexOf("\n");
  if (at < 0) return JSON.parse(text);
  const told = JSON.parse(text.slice(0, at));
  told.lines = text.slice(at + 1).split("\n");
  if (told.session) told.session.details = told.lines.shift();
  return told;
}

export function configure(input) {
  check();
  return read(glue.configure(JSON.stringify(input), released()));
}

export const begin = (config, handle, operation, cookie, changes, now, dice) =>
  read(glue.begin(config, handle, JSON.stringify(operation), cookie, changes, now, dice, released()));

export const reply = (handle, record, rest, now, dice) => read(glue.reply(handle, record, rest, now, dice, released()));

export const stats = (config) => JSON.parse(glue.stats(config));

export const { keepsCacheControl, vary } = glue;

/** A random id of 256 bits in base64url. */
export function newSessionId() {
  check();
  let id;
  try {
    id = crypto.getRandomValues(new Uint8Array(32));
  } catch {
    throw new SessionError(
      "not_ready",
      "no randomness is available: Workers provide none at module scope; create session ids inside the fetch handler",
    );
  }
  return btoa(String.fromCharCode(...id)).replaceAll("+", "-").replaceAll("/", "_").replace("=", "");
}
