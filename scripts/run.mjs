// Helpers for all scripts: paths, printing a line, running a program, and stopping with one clear line. Node built-ins only, of Node 20 and later:
// this runs before anything is installed.

import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, realpathSync, statSync } from "node:fs";
import { constants as system, homedir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/[/\\]$/, "");
export const inRoot = (...parts) => join(root, ...parts);

/** True if the module with this URL is the program that Node runs. In the URL Node has resolved symbolic links. */
export function isProgram(url) {
  const path = process.argv[1];
  // With `node -e` it is the first argument, which may be anything.
  return path !== undefined && existsSync(path) && realpathSync(path) === fileURLToPath(url);
}

/** The folder for things that are built once per machine and shared by all clones. */
export const cacheDir = join(
  process.env.XDG_CACHE_HOME || join(homedir(), ".cache"),
  "edge-session",
);

export const say = (line) => console.log(`> ${line}`);

/** Ends a script with one line and no stack trace. */
export class Stop extends Error {
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Something is missing on this machine and could not be installed. The message says how to install it. */
export class Missing extends Stop {
  constructor(message) {
    super(message, 3);
  }
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];
const children = new Set();
let watched = false;

/**
 * Starts a program that leads a process group, so that `killGroup` also ends what it has started. A signal that
 * ends this process ends the group too.
 */
export function spawnGroup(command, args, options) {
  if (!watched) exitOnSignals();
  const child = spawn(command, args, { ...options, detached: process.platform !== "win32" });
  children.add(child);
  // While we stop, others of its group may still be running.
  child.once("close", () => stopping || children.delete(child));
  return child;
}

/** Ends a program of `spawnGroup` and everything in its group. False if they had ended by themselves. */
export function killGroup(child, signal = "SIGTERM") {
  try {
    return process.kill(-child.pid, signal);
  } catch {
    return false;
  }
}

const GRACE_SECONDS = 3;
const stopChildren = (signal) => children.forEach((child) => killGroup(child, signal));

/** After SIGTERM: ends what does not end by itself, like a workerd that waits for a request to finish. */
async function endChildren() {
  const deadline = Date.now() + GRACE_SECONDS * 1000;
  // Signal 0 only asks whether there is a process.
  while (Date.now() < deadline && [...children].some((child) => killGroup(child, 0))) await sleep(50);
  stopChildren("SIGKILL");
}

/** For processes without `main`, as test files are: by default a signal would end this process alone. */
function exitOnSignals() {
  watched = true;
  for (const signal of SIGNALS) process.once(signal, () => process.exit(128 + system.signals[signal]));
  process.once("exit", () => stopChildren("SIGTERM"));
}

/** Runs a script's main function. Turns an exception into a line and an exit status. */
export async function main(body) {
  watched = true;
  for (const signal of SIGNALS) {
    // Not `once`: a terminal's Ctrl-C may reach us twice, and the second must not kill us
    // before our children have ended.
    process.on(signal, () => {
      stopChildren("SIGTERM");
      setTimeout(() => stopChildren("SIGKILL"), GRACE_SECONDS * 1000).unref();
      process.exitCode = signal === "SIGINT" ? 130 : 143;
      stopping = true;
    });
  }
  if (process.env.npm_lifecycle_event) {
    // npm ends the shell that it started us in, and the shell does not pass that on.
    const shell = process.ppid;
    const watch = () => process.ppid !== shell && process.kill(process.pid, "SIGTERM");
    setInterval(watch, 300).unref();
  }
  try {
    process.exitCode = (await body()) || process.exitCode || 0;
  } catch (error) {
    if (!stopping) {
      console.error(error instanceof Stop ? `error: ${error.message}` : error);
      process.exitCode = error.exitCode ?? 1;
    }
  }
  stopChildren("SIGTERM");
  if (stopping) await endChildren();
}

let stopping = false;
/** True once the user asked us to stop. A child's failure is then expected. */
export const isStopping = () => stopping;

/**
 * Runs a program to its end and resolves to `{ status, output, stdout }`. Rejects once the user has asked us to stop, so
 * that callers start nothing else and do not take the end of the program for a failure.
 * `capture` keeps its output instead of showing it, in `stdout` without the standard error, `onLine` gets each line, and `tee` shows it as
 * well, each line after a `prefix` if there is one. `endsGroup` also ends child processes that the program has left running.
 */
export async function exec(command, args, options = {}) {
  if (stopping) throw new Stop("stopped");
  const result = await runToEnd(command, args, options);
  if (stopping) throw new Stop("stopped");
  return result;
}

function runToEnd(command, args, options) {
  const { env, cwd = root, capture = false, tee = false, prefix = "", timeoutSeconds, onLine, endsGroup = false } = options;
  return new Promise((resolve, reject) => {
    const pipe = capture || tee || onLine;
    const child = spawnGroup(command, args, {
      cwd,
      env: withEnv(env),
      stdio: ["ignore", pipe ? "pipe" : "inherit", pipe ? "pipe" : "inherit"],
    });
    let output = "";
    let stdout = "";
    for (const [stream, out] of pipe
      ? [
          [child.stdout, process.stdout],
          [child.stderr, process.stderr],
        ]
      : []) {
      let rest = "";
      const whole = (line) => {
        if (tee && prefix) out.write(`${prefix}${line}\n`);
        onLine?.(line);
      };
      stream.setEncoding("utf8").on("data", (text) => {
        if (capture) output += text;
        if (capture && stream === child.stdout) stdout += text;
        if (tee && !prefix) out.write(text);
        const lines = (rest + text).split("\n");
        rest = lines.pop();
        lines.forEach(whole);
      });
      stream.on("end", () => rest && whole(rest));
    }
    let timedOut = false;
    const timer =
      timeoutSeconds &&
      setTimeout(() => {
        timedOut = true;
        killGroup(child, "SIGKILL");
      }, timeoutSeconds * 1000);
    child.on("error", (error) => {
      clearTimeout(timer);
      if (error.code === "ENOENT") resolve({ status: 127, output, stdout, timedOut });
      else reject(error);
    });
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      if (endsGroup) killGroup(child, "SIGKILL");
      resolve({ status: status ?? (signal ? 128 : 1), output, stdout, timedOut });
    });
  });
}

/** Like `exec`, but a failure ends the script. `what` names the step in the message. */
export async function run(what, command, args, options = {}) {
  const { status, output, timedOut } = await exec(command, args, options);
  if (status === 0) return output;
  if (options.capture && output) console.error(output.trimEnd());
  if (status === 127) throw new Stop(`${what}: the program \`${command}\` is not installed`);
  throw new Stop(
    `${what} ${timedOut ? `took more than ${options.timeoutSeconds} s` : `failed (exit status ${status})`}: ${[command, ...args].join(" ")}`,
  );
}

/** The trimmed standard output of a short command, or null if it fails. */
export function ask(command, args, options = {}) {
  const { status, stdout } = spawnSync(command, args, {
    cwd: root,
    env: withEnv(options.env),
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return status === 0 ? stdout.trim() : null;
}

function withEnv(changes) {
  const env = { ...process.env, ...changes };
  for (const name of Object.keys(env)) if (env[name] === undefined) delete env[name];
  return env;
}

/** The path of an executable, by name on PATH or by absolute path; null if there is none. */
export function which(...names) {
  for (const name of names) {
    const places = name.startsWith("/")
      ? [name]
      : (process.env.PATH ?? "").split(delimiter).map((dir) => join(dir, name));
    for (const place of places) {
      try {
        accessSync(place, constants.X_OK);
        if (statSync(place).isFile()) return place;
      } catch {
        // Not here.
      }
    }
  }
  return null;
}
