// An implementation of the Durable Object in workerd, with SQLite on disk, which can be killed.

import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { buildTestObject } from "../../../scripts/build.mjs";
import { agent, exchange } from "../../workerd/support/browser.mjs";
import { compatibility, root, workerdBinary } from "../../workerd/support/harness.mjs";

const GLUE = `import { instantiate } from "./edge_session.js";
import wasm from "./edge_session_bg.wasm";
export const { SessionObject } = instantiate(wasm);
`;

/** Each writes its modules into a folder, including `implementation.js`, and returns their names. */
const implementations = {
  async JavaScript(folder) {
    copyFileSync(join(root, "js/durable-object.js"), join(folder, "implementation.js"));
    copyFileSync(join(root, "js/object-requests.js"), join(folder, "object-requests.js"));
    return ["implementation.js", "object-requests.js"];
  },
  async Rust(folder) {
    const { dir } = await buildTestObject();
    const built = ["edge_session.js", "edge_session_bg.wasm"];
    for (const name of built) copyFileSync(join(dir, name), join(folder, name));
    writeFileSync(join(folder, "implementation.js"), GLUE);
    return ["implementation.js", ...built];
  },
};

/** Both implementations, or the one that EDGE_SESSION_OBJECT names. */
export const languages = Object.keys(implementations).filter((one) => !process.env.EDGE_SESSION_OBJECT || one === process.env.EDGE_SESSION_OBJECT);

const config = (modules, { date, flags }) => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "disk", disk = (path = "disk", writable = true)),
    (name = "main", worker = (
      modules = [${modules.map((name) => `(name = "${name}", ${name.endsWith(".wasm") ? "wasm" : "esModule"} = embed "${name}")`)}],
      compatibilityDate = "${date}", compatibilityFlags = [${flags.map((flag) => `"${flag}"`)}],
      durableObjectNamespaces = [
        (className = "Watched", uniqueKey = "watched", enableSql = true),
        (className = "SessionObject", uniqueKey = "bare", enableSql = true),
      ],
      durableObjectStorage = (localDisk = "disk"),
      bindings = [
        (name = "WATCHED", durableObjectNamespace = "Watched"),
        (name = "BARE", durableObjectNamespace = "SessionObject"),
      ],
    )),
  ],
  sockets = [(name = "main", address = "127.0.0.1:0", http = (), service = "main")],
);
`;

export async function startObjects(language) {
  const folder = mkdtempSync(join(tmpdir(), "edge-session-object-"));
  mkdirSync(join(folder, "disk"));
  await install(language, folder);
  const world = new Objects(folder);
  await world.start();
  return world;
}

async function install(language, folder) {
  const modules = await implementations[language](folder);
  copyFileSync(join(root, "tests/object/support/worker.mjs"), join(folder, "worker.mjs"));
  copyFileSync(join(root, "js/object-connector.js"), join(folder, "object-connector.js"));
  writeFileSync(join(folder, "config.capnp"), config(["worker.mjs", "object-connector.js", ...modules], compatibility()));
}

class Objects {
  #folder;
  #child;
  #origin;
  #clock = { offset: 0 };
  #names = 0;

  constructor(folder) {
    this.#folder = folder;
    process.once("exit", () => this.#child?.kill("SIGKILL"));
  }

  /** Starts it, also after `kill`, on the same disk. */
  async start() {
    const child = spawn(workerdBinary(), ["serve", "config.capnp", "--control-fd=3"], {
      cwd: this.#folder,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    });
    this.#child = child;
    let output = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (output += text));
    const port = await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (status) => reject(new Error(`workerd ended with ${status} before it was ready:\n${output}`)));
      createInterface({ input: child.stdio[3] }).on("line", (line) => {
        const { event, port } = JSON.parse(line);
        if (event === "listen") resolve(port);
      });
    });
    this.#origin = `http://127.0.0.1:${port}`;
    await this.#setClock(this.#clock);
  }

  #end(signal) {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill(signal);
    return ended;
  }

  /** Ends the process like a power failure: it finishes nothing. */
  kill() {
    return this.#end("SIGKILL");
  }

  /** Deploys the other implementation over this one. The objects stay the same. */
  async deploy(language) {
    await this.#end("SIGTERM");
    await install(language, this.#folder);
    await this.start();
  }

  async stop() {
    agent.destroy();
    await this.#end("SIGTERM");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get(path) {
    return exchange(this.#origin, path);
  }

  post(path, body = null) {
    return exchange(this.#origin, path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
  }

  async control(path, body) {
    const answer = await this.post(path, body);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.text}`);
    return answer.json;
  }

  /** A new object. With `bare`, its class is the one that a Worker exports. */
  object({ name = `object-${(this.#names += 1)}`, bare = false } = {}) {
    return new RemoteObject(this, `/${bare ? "BARE" : "WATCHED"}/${name}`, name);
  }

  /** The outcome of one call of the connector: `{ result }` or `{ error }`. */
  connector(method, ...args) {
    return this.control("/connector", { method, args });
  }

  now() {
    return this.#clock.at ?? Date.now();
  }

  /**
   * Stops the clock of the objects, but for the milliseconds that pass at each alarm. The clock of the
   * runtime, which wakes them, goes on.
   */
  freeze(at, { atAlarm = 0 } = {}) {
    return this.#setClock({ at, atAlarm });
  }

  advance(milliseconds) {
    return this.#setClock({ at: this.#clock.at + milliseconds });
  }

  async #setClock(clock) {
    this.#clock = clock;
    await this.control("/clock", clock);
  }

  /** The storage calls of `action`. Statement number `failAt` throws. */
  async metered(action, failAt = 0) {
    await this.control("/meter/reset", failAt);
    const result = await action();
    return { result, ...(await this.control("/meter")) };
  }

  /** The bytes of an object's database, and of its write-ahead log. */
  files(id) {
    const size = (ending) => statSync(join(this.#folder, "disk", "watched", `${id}.sqlite${ending}`), { throwIfNoEntry: false })?.size ?? 0;
    return { database: size(""), log: size("-wal") };
  }
}

class RemoteObject {
  #world;
  #path;

  constructor(world, path, name) {
    this.#world = world;
    this.#path = path;
    this.name = name;
  }

  ask(operation, body) {
    return this.#world.post(`${this.#path}/v1/${operation}`, body);
  }

  at(path, body) {
    return this.#world.post(`${this.#path}${path}`, body);
  }

  get(path) {
    return this.#world.get(`${this.#path}${path}`);
  }

  async #told(operation, body) {
    const answer = await this.ask(operation, body);
    if (answer.status !== 200) throw new Error(`${operation}: ${answer.status} ${answer.text}`);
    return answer.json;
  }

  read = async (...keys) => (await this.#told("read", { keys })).rows;
  transact = (checks, writes) => this.#told("transact", { checks, writes });
  list = (prefix, cursor) => this.#told("list", { prefix, cursor });
  put = (key, rest) => this.transact([], [put(key, this.#world.now() + DAY, rest)]);

  look = (path) => this.#world.control(`${this.#path}/test/${path}`);
  state = () => this.look("state");
}

/** A value for `failAt` of `metered`: after every statement of a transaction. */
export const AT_THE_END = -1;

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

export const put = (key, expiresAt, rest) => ({ put: { key, value: `value of ${key}`, revision: "1", expiresAt, ...rest } });
export const row = (key, expiresAt, rest) => ({ value: `value of ${key}`, revision: "1", expiresAt, ...rest });
