// Runs a built Worker in workerd, the runtime of production, with the storage of the tests.
//
// One workerd process has one service for each isolate of the Worker under test, the storage Worker behind
// their KV binding, and a socket for each of them and for each clock. There are no timed waits: workerd
// reports the ports that it listens on.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { Browser, agent, exchange } from "./browser.mjs";

export { parseSetCookie } from "../../../js/cookie-jar.js";
export { Answer, Browser, exchange } from "./browser.mjs";

const support = fileURLToPath(new URL(".", import.meta.url));
export const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The location of an isolate if a test does not name one. */
const ONE_ISOLATE = { main: "here" };

/**
 * Starts a Worker.
 *
 * @param {object} options
 * @param {string} options.directory  the build: `index.js` and what it imports, all in one folder
 * @param {object} [options.vars]     variables besides a random SESSION_SECRET, as text, or as JSON
 *                                    if they are not strings; undefined removes one
 * @param {object} [options.isolates] the location of each isolate, by its name
 * @param {string} [options.binding]  the name of the KV binding
 * @param {boolean | string} [options.objects] whether SESSION_OBJECTS is bound, to one namespace for
 *                                    all isolates, on disk; a text names the Worker beside this one
 *                                    that exports the class
 * @param {boolean} [options.calls]   whether `calls` tells what reaches the objects, which then are this
 *                                    Worker's own and written in JavaScript
 * @param {object} [options.analytics] name of an Analytics Engine binding to the Worker beside this
 *                                    one that takes what is written
 * @param {object} [options.beside]   other Workers by name: their `directory`, and `services`, the
 *                                    name of a service binding to the isolate that it reaches
 * @returns {Promise<World>}
 */
export async function startWorker({
  directory,
  vars = {},
  isolates = ONE_ISOLATE,
  binding = "SESSIONS",
  objects = false,
  calls = false,
  analytics = {},
  beside = {},
}) {
  const folder = mkdtempSync(join(tmpdir(), "edge-session-"));
  const bindings = { SESSION_SECRET: randomBytes(32).toString("base64url"), ...vars };
  const app = collectModules(directory, folder);
  for (const name of ["storage-worker.mjs", "app-entry.mjs", "app-clock.mjs", "app-objects.mjs"]) {
    copyFileSync(join(support, name), join(folder, name));
  }
  const others = Object.entries(beside).map(([name, { directory, services = {} }]) => {
    mkdirSync(join(folder, name));
    return { name, services, modules: collectModules(directory, join(folder, name)) };
  });
  writeFileSync(join(folder, "config.capnp"), config({ app, bindings, isolates, binding, objects, calls, analytics, others }));
  if (objects) mkdirSync(join(folder, "disk"));

  // A control message for each socket, `{"event":"listen","socket":…,"port":…}`, on descriptor 3.
  const arguments_ = ["serve", "config.capnp", "--control-fd=3"];
  // The binding of Analytics Engine is an experimental part of workerd's configuration.
  if (Object.keys(analytics).length) arguments_.push("--experimental");
  const spawned = () => spawn(workerdBinary(), arguments_, { cwd: folder, stdio: ["ignore", "pipe", "pipe", "pipe"] });
  const world = new World(spawned, folder, { isolates: Object.keys(isolates), beside: Object.keys(beside), calls });
  await world.start();
  return world;
}

/** Copies a build and names its modules, `index.js` among them. */
function collectModules(directory, folder) {
  const names = readdirSync(directory).filter((name) => /\.(m?js|wasm)$/.test(name));
  if (!names.includes("index.js")) throw new Error(`no index.js in ${directory}: build the Worker first`);
  for (const name of names) copyFileSync(join(directory, name), join(folder, name));
  return names;
}

/** The `compatibility_date` and flags that production gets. */
export function compatibility() {
  const file = join(root, "wrangler.toml");
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const date = /^compatibility_date\s*=\s*"([^"]+)"/m.exec(text)?.[1];
  const flags = /^compatibility_flags\s*=\s*\[([^\]]*)\]/m.exec(text)?.[1] ?? "";
  if (!date) throw new Error("wrangler.toml names no compatibility_date");
  return { date, flags: [...flags.matchAll(/"([^"]+)"/g)].map((match) => match[1]) };
}

function config({ app, bindings, isolates, binding, objects, calls, analytics, others }) {
  const text = JSON.stringify; // a JSON string is a Cap'n Proto string
  const { date, flags } = compatibility();
  const common = `compatibilityDate = ${text(date)}, compatibilityFlags = [${flags.map(text).join(", ")}]`;
  const module = (name, folder) =>
    `(name = ${text(name)}, ${name.endsWith(".wasm") ? "wasm" : "esModule"} = embed ${text(folder + name)})`;
  const worker = (modules, rest, folder = "", more = "") =>
    `(modules = [${modules.map((name) => module(name, folder)).join(", ")}], ${common}, bindings = [${rest.join(", ")}]${more})`;
  const to = (kind) => ([name, service]) => `(name = ${text(name)}, ${kind} = ${text(service)})`;
  const variables = Object.entries(bindings)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => {
      const given = typeof value === "string" ? `text = ${text(value)}` : `json = ${text(text(value))}`;
      return `(name = ${text(name)}, ${given})`;
    });

  // The objects are in one Worker, by default in the first isolate. The others call them there.
  const home = objects === true ? Object.keys(isolates)[0] : objects;
  const namespace = `(name = "SESSION_OBJECTS", durableObjectNamespace = (className = "SessionObject", serviceName = ${text(home)}))`;
  const stored = `, durableObjectNamespaces = [(className = "SessionObject", uniqueKey = "sessions", enableSql = true)], durableObjectStorage = (localDisk = "disk")`;
  const services = [`(name = "storage", worker = ${worker(["storage-worker.mjs"], [])})`];
  const sockets = [socket("storage", `(name = "storage", entrypoint = "Control")`)];
  const datasets = Object.entries(analytics).map(to("analyticsEngine"));
  for (const { name, services: reached, modules } of others) {
    // The first module is the one that the runtime starts.
    modules.sort((one, other) => (other === "index.js") - (one === "index.js"));
    const bound = Object.entries(reached).map(to("service"));
    services.push(`(name = ${text(name)}, worker = ${worker(modules, bound, `${name}/`, name === home ? stored : "")})`);
    sockets.push(socket(name, `(name = ${text(name)})`));
  }
  // The first module is the one that the runtime starts.
  const modules = [...(calls ? ["app-objects.mjs"] : []), "app-entry.mjs", "app-clock.mjs", ...app];
  if (calls) sockets.push(socket("calls", `(name = ${text(home)}, entrypoint = "Calls")`));
  if (objects) services.push(`(name = "disk", disk = (path = "disk", writable = true))`);
  for (const [isolate, location] of Object.entries(isolates)) {
    const props = `props = (json = ${text(JSON.stringify({ location }))})`;
    const kv = `(name = ${text(binding)}, kvNamespace = (name = "storage", ${props}))`;
    const bound = [kv, ...(objects ? [namespace] : []), ...datasets, ...variables];
    services.push(`(name = ${text(isolate)}, worker = ${worker(modules, bound, "", isolate === home ? stored : "")})`);
    sockets.push(socket(isolate, `(name = ${text(isolate)})`));
    sockets.push(socket(`${isolate} clock`, `(name = ${text(isolate)}, entrypoint = "Clock")`));
  }
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    ${services.join(",\n    ")}
  ],
  sockets = [
    ${sockets.join(",\n    ")}
  ],
);
`;
}

function socket(name, service) {
  const http = `http = (cfBlobHeader = "X-Test-Cf")`;
  return `(name = ${JSON.stringify(name)}, address = "127.0.0.1:0", ${http}, service = ${service})`;
}

export function workerdBinary() {
  // The runtime's package knows which of its platform packages is installed.
  return createRequire(import.meta.url)("workerd").default;
}

/** A running Worker with its storage and its clock. */
class World {
  #spawned;
  #child;
  #folder;
  #ports = new Map();
  #expected;
  #output = "";
  /** Ahead of the machine's clock by `offset`, or standing still `at` an instant. */
  #clock = { offset: 0 };
  #isMoving = false;

  constructor(spawned, folder, { isolates, beside, calls }) {
    this.#spawned = spawned;
    this.#folder = folder;
    this.#expected = 1 + 2 * isolates.length + beside.length + (calls ? 1 : 0);
    this.isolates = isolates;
    this.beside = beside;
    this.storage = new Storage(() => this.#origin("storage"));
    // A test file that crashes must not leave a server running.
    process.once("exit", () => this.#child?.kill("SIGKILL"));
  }

  /**
   * Starts workerd, and settles when every socket is open. Also after `kill`, over the same disk, on
   * which objects are: KV is empty again, and the ports are others.
   */
  start() {
    const child = this.#spawned();
    this.#child = child;
    this.#ports.clear();
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (this.#output += text));
    }
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => {
        reject(new Error(`workerd ended with ${code} before it was ready:\n${this.#output}`));
      });
      createInterface({ input: child.stdio[3] }).on("line", (line) => {
        const { event, socket, port } = JSON.parse(line);
        if (event !== "listen") return;
        this.#ports.set(socket, port);
        if (this.#ports.size === this.#expected) resolve();
      });
    });
  }

  /** As a machine that loses its power does to a process: nothing is said, nothing is finished. */
  kill() {
    return this.#end("SIGKILL");
  }

  #end(signal) {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill(signal);
    return ended;
  }

  /** What workerd and the Worker have printed: console output and uncaught errors. */
  get output() {
    return this.#output;
  }

  #origin(socket) {
    return `http://127.0.0.1:${this.#ports.get(socket)}`;
  }

  /** The address of this isolate, or of another Worker. */
  origin(isolate = this.isolates[0]) {
    if (!this.isolates.includes(isolate) && !this.beside.includes(isolate)) throw new Error(`no isolate ${isolate}`);
    return this.#origin(isolate);
  }

  /** One HTTP exchange without a browser: no cookies, no headers but those given. */
  fetch(path, { isolate, ...options } = {}) {
    return exchange(this.origin(isolate), path, options);
  }

  /** What `action` asks of the objects: its result, and the operation of each request to one. */
  async calls(action) {
    await exchange(this.#origin("calls"), "/", { method: "DELETE" });
    const result = await action();
    return { result, calls: (await exchange(this.#origin("calls"), "/")).json };
  }

  /** A browser with an empty jar, whose clock is this world's. */
  browser({ isolate } = {}) {
    return new Browser(this.origin(isolate), { now: () => this.now() });
  }

  /** Milliseconds since the epoch, by the clock of isolates, storage and browsers. */
  now() {
    // Some of the clocks would be at the old time.
    if (this.#isMoving) throw new Error("the clocks are being moved: await advance(), freeze() or reset()");
    return this.#clock.at ?? Date.now() + this.#clock.offset;
  }

  /** Stops all clocks until a test moves them, so that a slow machine makes no difference. */
  freeze() {
    return this.#setClock({ at: this.now() });
  }

  /** Moves all clocks forward. */
  advance(seconds) {
    const by = seconds * 1000;
    const { at, offset } = this.#clock;
    return this.#setClock(at === undefined ? { offset: offset + by } : { at: at + by });
  }

  async #setClock(to) {
    this.#clock = to;
    this.#isMoving = true;
    try {
      await this.storage.setClock(to);
      const body = JSON.stringify(to);
      for (const isolate of this.isolates) {
        await exchange(this.#origin(`${isolate} clock`), "/", { method: "POST", body });
      }
    } finally {
      this.#isMoving = false;
    }
  }

  /** Resets storage, faults and clocks. Isolates keep their memory. */
  async reset() {
    await this.storage.reset();
    await this.#setClock({ offset: 0 });
  }

  async stop() {
    agent.destroy();
    await this.#end("SIGTERM");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The tests' side of the storage Worker, which documents the methods. */
class Storage {
  #origin;

  constructor(origin) {
    this.#origin = origin;
  }

  async #call(call, ...args) {
    const body = JSON.stringify({ call, args });
    const answer = await exchange(this.#origin(), "/", { method: "POST", body });
    if (answer.status !== 200) throw new Error(`${call}: ${answer.text}`);
    return answer.json;
  }

  reset = () => this.#call("reset");
  set = (settings) => this.#call("set", settings);
  setClock = (to) => this.#call("setClock", to);
  addFault = (fault) => this.#call("addFault", fault);
  clearFaults = () => this.#call("clearFaults");
  log = () => this.#call("log");
  clearLog = () => this.#call("clearLog");
  counts = () => this.#call("counts");
  dump = () => this.#call("dump");
  write = (key, value) => this.#call("write", key, value);

  /** Settles when this many operations are held by a fault. */
  async holding(count = 1) {
    while ((await this.#call("held")) < count);
  }

  /** Settles when the log holds `count` operations of a kind: `{ op, prefix, status, count }`. */
  logged = (kind) => this.#call("logged", kind);

  /** The result of `action`, and its storage operations. */
  async counted(action) {
    await this.clearLog();
    const result = await action();
    return { result, counts: await this.counts(), log: await this.log() };
  }
}
