// An example, installed and built as its users would, in workerd under wrangler.

import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { exec, inRoot, killGroup, spawnGroup } from "../../../scripts/run.mjs";
import { Browser, agent, exchange } from "../../workerd/support/browser.mjs";

/** No telemetry, no questions, no logs outside of the repository. */
const QUIET = {
  ASTRO_TELEMETRY_DISABLED: "1",
  CI: "true",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  DO_NOT_TRACK: "1",
  FORCE_COLOR: "0",
  NO_COLOR: "1",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_NO_SKILLS_UPDATE_PROMPTS: "true",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
};

/** Longer than any build takes on a slow machine: one that hangs is to say so. */
const BUILD_SECONDS = 300;

/** Other than examples/, where other versions of the frameworks are tried. */
export const EXAMPLES = process.env.EDGE_SESSION_EXAMPLES ?? inRoot("examples");

const wrangler = join(EXAMPLES, "node_modules", "wrangler", "bin", "wrangler.js");

/** What the shops are bound to. */
const ofShop = () => ({
  kv_namespaces: [{ binding: "SESSIONS", id: "test" }],
  vars: { SESSION_SECRET: randomBytes(32).toString("base64url") },
});

/** The package, as a copy: what a registry would give. */
function installPackage() {
  const installed = join(EXAMPLES, "node_modules", "edge-session");
  rmSync(installed, { recursive: true, force: true });
  cpSync(inRoot("pkg"), installed, { recursive: true });
}

async function must(what, command, args, cwd) {
  const { status, output, timedOut } = await exec(command, args, {
    cwd,
    capture: true,
    env: { ...QUIET, NODE_ENV: undefined, PATH: `${join(process.execPath, "..")}:${process.env.PATH}` },
    timeoutSeconds: BUILD_SECONDS,
    endsGroup: true,
  });
  if (status !== 0) throw new Error(`${what} ${timedOut ? "took too long" : `ended with ${status}`}:\n${output}`);
  return output;
}

/** Builds the example `name` by its own script, if what it is made of has changed. */
async function build(name, outputs) {
  const home = join(EXAMPLES, name);
  const digest = createHash("sha256").update(EXAMPLES).update(readFileSync(join(EXAMPLES, "package-lock.json")));
  for (const folder of [inRoot("pkg"), home]) {
    for (const file of files(folder)) {
      if (folder === home && outputs.some((output) => file.startsWith(output))) continue;
      digest.update(file).update(readFileSync(join(folder, file)));
    }
  }
  const stamp = inRoot("target", "frameworks", `${name}.built-from`);
  const wanted = digest.digest("hex");
  if (read(stamp) === wanted) return home;
  rmSync(stamp, { force: true });
  // The build first: it writes what the types need.
  await must(`the build of examples/${name}`, "npm", ["run", "build"], home);
  await must(`the types of examples/${name}`, "npm", ["run", "check"], home);
  writeFileSync(stamp, wanted);
  return home;
}

/** What the compiler says against the types of the adapter `name`: nothing where all is well. */
export async function faultsOfTypes(name) {
  // In a process of its own: this one has connections to keep up.
  const script = inRoot("tests", "frameworks", "support", "types.mjs");
  const { status, output } = await exec(process.execPath, [script, name], { capture: true });
  return status === 0 ? "" : `${status}: ${output}`;
}

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** The files of a folder, by their paths in it. */
export function files(folder, under = "") {
  return readdirSync(join(folder, under), { withFileTypes: true })
    .filter((entry) => entry.name !== "node_modules")
    .flatMap((entry) => {
      const path = join(under, entry.name);
      return entry.isDirectory() ? files(folder, path) : [path];
    })
    .sort();
}

/**
 * Builds and starts the example `name`.
 *
 * @param {object} options
 * @param {string[]} options.outputs  what its build writes, as beginnings of paths
 * @param {string} options.config     the configuration that wrangler deploys it with
 * @param {string} options.assets     the folder of what is served without the Worker
 * @param {string} [options.entry]    the file of this folder that stands in front of the application
 * @param {object} [options.bindings] what its configuration binds, where that is not a shop's
 */
export async function start(name, { outputs, config, assets, entry: front = "entry.mjs", bindings = ofShop() }) {
  const place = inRoot("target", "frameworks", name);
  rmSync(place, { recursive: true, force: true });
  // Apart from what wrangler keeps: it starts the Worker anew when something changes beside it.
  const worker = join(place, "worker");
  mkdirSync(worker, { recursive: true });
  installPackage();
  const home = await build(name, outputs);

  // What a deployment would upload.
  const said = await must(
    `wrangler deploy --dry-run of examples/${name}`,
    process.execPath,
    [wrangler, "deploy", "--dry-run", "--outdir", join(worker, "app"), "--config", join(home, config)],
    home,
  );
  const modules = readdirSync(join(worker, "app"));
  const main = ["index.js", "_worker.js", "entry.mjs", "index.mjs"].find((file) => modules.includes(file));
  const entry = readFileSync(inRoot("tests", "frameworks", "support", front), "utf8");
  writeFileSync(join(worker, "entry.mjs"), entry.replaceAll("MAIN", main));
  const given = JSON.parse(read(join(home, config)).replace(/^\s*\/\/.*$/gm, ""));
  writeFileSync(
    join(worker, "wrangler.json"),
    JSON.stringify({
      name,
      main: "entry.mjs",
      compatibility_date: given.compatibility_date,
      compatibility_flags: given.compatibility_flags,
      no_bundle: true,
      find_additional_modules: true,
      rules: [
        { type: "ESModule", globs: ["app/**/*.js", "app/**/*.mjs"] },
        { type: "CompiledWasm", globs: ["app/**/*.wasm", "app/**/*.wasm?module"] },
      ],
      assets: { ...given.assets, directory: join(home, assets) },
      ...bindings,
    }),
  );
  const world = new World(place, join(home, assets), said);
  await world.listening();
  return world;
}

class World {
  #child;
  #ended;
  #ahead = 0;
  #output = "";

  constructor(place, assets, said) {
    this.assets = assets;
    /** What wrangler says of the size of an upload. */
    this.size = said.match(/Total Upload: .*/)?.[0];
    const args = ["dev", "--local", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0"];
    this.#child = spawnGroup(process.execPath, [wrangler, ...args, "--persist-to", join(place, "state")], {
      cwd: join(place, "worker"),
      env: { ...process.env, ...QUIET },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#ended = new Promise((resolve) => this.#child.once("exit", resolve));
  }

  listening() {
    return new Promise((resolve, reject) => {
      for (const stream of [this.#child.stdout, this.#child.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          this.#output += `${line}\n`;
          const url = line.match(/Ready on (http\S+)/)?.[1];
          if (url) resolve((this.origin = url.replace(/\/$/, "")));
        });
      }
      this.#ended.then((status) => reject(new Error(`wrangler dev ended with ${status}:\n${this.#output}`)));
    });
  }

  /** What wrangler and the application have printed. */
  get output() {
    return this.#output;
  }

  browser() {
    return new Browser(this.origin, { now: () => Date.now() + this.#ahead * 1000 });
  }

  /** Tells the application, and gets what it has counted since it was told last. */
  async tell(what) {
    const body = JSON.stringify(what);
    const answer = await exchange(this.origin, "/__test", { method: "POST", body });
    return answer.json;
  }

  advance(seconds) {
    return this.tell({ ahead: (this.#ahead += seconds) });
  }

  setDown(isDown) {
    return this.tell({ isDown });
  }

  /** What `action` gives, and what it made the application do. */
  async counted(action) {
    await this.tell({});
    const result = await action();
    return { result, counts: await this.tell({}) };
  }

  async stop() {
    agent.destroy();
    killGroup(this.#child);
    await this.#ended;
    // What wrangler has started and not ended.
    killGroup(this.#child, "SIGKILL");
  }
}
