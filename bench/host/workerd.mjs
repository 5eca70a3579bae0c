// A workerd process of our own: started, told what to do over HTTP, and looked at from outside.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest, Agent } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Stop, inRoot } from "../../scripts/run.mjs";

const binary = createRequire(inRoot("package.json"))("workerd").default;
const date = /^compatibility_date = "([^"]+)"/m.exec(readFileSync(inRoot("wrangler.toml"), "utf8"))[1];

/** Milliseconds in which threads beside the isolate's come to an end with what they are at. */
const REST = 5;

const running = new Set();
const folders = [];
process.on("exit", () => {
  running.forEach((child) => child.kill("SIGKILL"));
  folders.forEach((folder) => rmSync(folder, { recursive: true, force: true }));
});

/** A folder with what a Worker consists of, ready to be started many times. */
export class Installed {
  constructor({ script, wasm }, { objects = false } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), "edge-session-bench-"));
    folders.push(this.folder);
    this.script = script;
    writeFileSync(join(this.folder, "worker.js"), script);
    for (const { name, bytes } of wasm) writeFileSync(join(this.folder, name), bytes);
    const modules = [
      '(name = "worker.js", esModule = embed "worker.js")',
      ...wasm.map(({ name }) => `(name = "${name}", wasm = embed "${name}")`),
    ];
    const stored = `
    durableObjectNamespaces = [(className = "SessionObject", uniqueKey = "sessions", enableSql = true)],
    durableObjectStorage = (localDisk = "disk"),
    bindings = [(name = "SESSION_OBJECTS", durableObjectNamespace = "SessionObject")],`;
    if (objects) mkdirSync(join(this.folder, "disk"));
    writeFileSync(
      join(this.folder, "config.capnp"),
      `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [${modules.join(", ")}],
    compatibilityDate = "${date}",${objects ? stored : ""}
  ))${objects ? ', (name = "disk", disk = (path = "disk", writable = true))' : ""}],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`,
    );
  }

  /** Starts it; resolves when it listens. With `inspector`, that does too, at a port of its own. */
  start({ inspector = false } = {}) {
    return Isolate.start(this.folder, inspector);
  }
}

/** A workerd process with one isolate. */
export class Isolate {
  #child;
  #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  static async start(folder, inspector) {
    const isolate = new Isolate();
    const begun = process.hrtime.bigint();
    const options = inspector ? ["--inspector-addr=127.0.0.1:0"] : [];
    const child = spawn(binary, ["serve", "config.capnp", "--control-fd=3", ...options], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    running.add(child);
    child.on("exit", () => running.delete(child));
    isolate.#child = child;
    isolate.begun = begun;
    isolate.output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (isolate.output = (isolate.output + text).slice(-4000)));
    }
    isolate.port = await new Promise((resolve, reject) => {
      let text = "";
      child.stdio[3].setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
        const port = /"event":"listen",.*?"port":(\d+)/.exec(text)?.[1];
        isolate.inspector = /"event":"listen-inspector",.*?"port":(\d+)/.exec(text)?.[1];
        if (port && (isolate.inspector || !inspector)) resolve(Number(port));
      });
      child.on("exit", () => reject(new Stop(`workerd did not start: ${isolate.output}`)));
    });
    return isolate;
  }

  /** One HTTP exchange: `{ status, text, at }`, `at` being the instant of the answer's head. */
  exchange({ method = "POST", path = "/", headers = {}, body }) {
    return new Promise((resolve, reject) => {
      const sent = httpRequest(
        { host: "127.0.0.1", port: this.port, method, path, headers, agent: this.#agent },
        (response) => {
          const at = process.hrtime.bigint();
          let text = "";
          response.setEncoding("utf8").on("data", (chunk) => (text += chunk));
          response.on("end", () => resolve({ status: response.statusCode, text, at }));
        },
      );
      sent.on("error", (error) => reject(new Stop(`${error.message}\n${this.output}`)));
      sent.end(body);
    });
  }

  /** Tells the driver in the isolate to do something. */
  async tell(action, rest = {}) {
    const { status, text } = await this.exchange({ body: JSON.stringify({ action, ...rest }) });
    if (status !== 200) throw new Stop(`${text}\n${this.output}`);
    return JSON.parse(text);
  }

  /** Makes a pool of sessions, and lets `wait` milliseconds pass until they are old news. */
  async fill({ count, wait = 0, ...pool }) {
    // A request may have no more than 10,000 timers and the like.
    for (let made = 0; made < count; made += 2_000) {
      await this.tell("pool", { ...pool, wait, count: Math.min(2_000, count - made) });
    }
    await this.tell("pass", { milliseconds: wait });
  }

  /** As `tell`, with the nanoseconds of CPU that the process spent on it, all threads together. */
  async timed(action, rest) {
    const before = this.cpu();
    const answer = await this.tell(action, rest);
    // What the engine has put off until the isolate is at rest, such as the finalizers of what was
    // thrown away, is of this action too.
    await this.tell("pass", { milliseconds: 0 });
    await new Promise((resolve) => setTimeout(resolve, REST));
    return { answer, nanoseconds: this.cpu() - before };
  }

  /** Nanoseconds that the threads of the process have run (Linux). */
  cpu() {
    const { pid } = this.#child;
    let sum = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      try {
        sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ")[0]);
      } catch {
        // The thread has ended.
      }
    }
    return sum;
  }

  /** Bytes of memory that the process holds. */
  resident() {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "latin1");
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)[1]) * 1024;
  }

  stop() {
    this.#agent.destroy();
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      child.on("exit", resolve);
      child.kill("SIGKILL");
    });
  }
}
