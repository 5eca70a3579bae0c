// The package as installed: entries by condition, types, sizes, and the tarball in a separate project with
// wrangler.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";

import { build } from "esbuild";
import * as nodeEntry from "../../pkg/node.js";
import { errorCodes } from "../../pkg/glue.js";
import { sizes } from "../../scripts/build-package.mjs";
import { killGroup, spawnGroup } from "../../scripts/run.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const pkg = join(root, "pkg");
const manifest = JSON.parse(readFileSync(join(pkg, "package.json"), "utf8"));
const quietWrangler = {
  CI: "true",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_NO_SKILLS_UPDATE_PROMPTS: "true",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
};
const npm = (args, cwd) => execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

test("types hold, and what must not compile does not", () => {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", join(root, "tests/package")], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("every name that is typed is exported, and every code is typed", () => {
  const types = readFileSync(join(pkg, "index.d.ts"), "utf8");
  const typed = [...types.matchAll(/^export (?:class|function) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(Object.keys(nodeEntry).sort(), typed.sort());
  const codes = types.match(/type ErrorCode =\n([^;]+);/)[1].match(/\w+/g);
  assert.deepEqual(codes, Object.keys(JSON.parse(errorCodes())));
  for (const [type, name] of [["SessionStore", "SessionStore"], ["Sessions", "Sessions"]]) {
    const body = types.slice(types.indexOf(`export class ${type}<`));
    const declared = body.slice(0, body.indexOf("\n}"));
    const members = new Set([...declared.matchAll(/^ {2}(?:readonly |static |get |set )*(\w+)[<(:?]/gm)].map(([, it]) => it));
    const own = [...Object.getOwnPropertyNames(nodeEntry[name].prototype), ...Object.getOwnPropertyNames(nodeEntry[name])];
    const real = own.filter((it) => !["length", "name", "prototype"].includes(it));
    assert.deepEqual([...members].sort(), real.sort(), type);
  }
});

test("every member of a type says what it is", () => {
  const silent = [];
  let [type, documented, before] = ["", false, ""];
  for (const line of readFileSync(join(pkg, "index.d.ts"), "utf8").split("\n")) {
    const head = line.match(/^export (?:class|interface|type|function) (\w+)/);
    const member = line.match(/^ {2}(?:readonly |static |get |set )*(\[?[\w.]+\]?)[<(:?]/);
    if (head) type = head[1];
    const name = head?.[1] ?? (member && `${type}.${member[1]}`);
    // Overloads share the comment of the first one.
    if (name && !documented && name !== before && member?.[1] !== "constructor") silent.push(name);
    if (name) before = name;
    documented = line.endsWith("*/");
  }
  // Their names and the comment of their type are sufficient.
  const plain = /^(SessionError\.code|SessionExpired\.code|ResponseLike\.|RequestLike\.|KvNamespace\.|SessionEvent\.event|OwnedSession\.(created|lastWritten)|ConnectorPage(\.keys)?|MemoryConnector\.|ContextLike\.)/;
  assert.deepEqual(silent.filter((name) => !plain.test(name)), []);
});

test("every setting is a typed option", () => {
  const types = readFileSync(join(pkg, "index.d.ts"), "utf8");
  const options = types.slice(types.indexOf("interface SessionOptions"));
  const typed = [...options.slice(0, options.indexOf("\n}")).matchAll(/^ {2}(\w+)\??:/gm)].map(([, name]) => name);
  const settings = [...readFileSync(join(root, "src/protocol/settings.rs"), "utf8").matchAll(/^ {4}"SESSION_\w+"\s+"(\w+)"/gm)].map(([, name]) => name);
  assert.ok(settings.length > 20);
  assert.deepEqual(typed.filter((name) => !["secret", "onEvent", "clock"].includes(name)), settings);
});

test("cookieAge says first that it ends the session", () => {
  for (const [file, start] of [
    ["js/index.d.ts", / \/\*\*\s+\* (.*)(\n\s+\*.*)+\n {2}cookieAge\?:/],
    ["docs/settings.md", /^\| `SESSION_COOKIE_AGE` \|(?:[^|]+\|){3} (.*) \|$/m],
    ["src/protocol/settings.rs", /\n\n {4}\/\/\/ (.*)(?:\n {4}\/\/\/.*)*\n {4}"SESSION_COOKIE_AGE" /],
  ]) {
    assert.match(readFileSync(join(root, file), "utf8").match(start)?.[1] ?? "", /^Ends the session, not only its cookie/, file);
  }
});

test("the default entry is not ready before init", () => {
  // In a separate process, because the entries share the core's modules.
  const script = `
    import { readFileSync } from "node:fs";
    import { MemoryConnector, SessionStore, Sessions, init } from ${JSON.stringify(join(pkg, "default.js"))};
    const secret = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
    const memory = new MemoryConnector();
    const attempts = [
      () => new Sessions(memory, { secret }),
      () => Sessions.fromEnv({ SESSIONS: memory, SESSION_SECRET: secret }),
      () => new SessionStore(memory, { secret }),
      () => SessionStore.generateSessionId(),
      () => init(),
      () => init(readFileSync(${JSON.stringify(join(pkg, "session.wasm"))})),
    ];
    const codes = attempts.map((attempt) => { try { attempt(); return "none"; } catch (error) { return error.code + " " + error.status; } });
    init(new WebAssembly.Module(readFileSync(${JSON.stringify(join(pkg, "session.wasm"))})));
    init("whatever");
    codes.push(SessionStore.generateSessionId().length, new Sessions(memory, { secret }).stalenessBound);
    console.log(JSON.stringify(codes));
  `;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  assert.deepEqual(JSON.parse(output), [...Array(6).fill("not_ready 500"), 43, 102]);
});

test("a runtime without FinalizationRegistry fails at import, with the reason", () => {
  const script = `
    delete globalThis.FinalizationRegistry;
    import(${JSON.stringify(join(pkg, "node.js"))}).then(() => process.exit(1), (error) => console.log(error.message));
  `;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  assert.match(output, /compatibility_date to 2025-05-05 or later/);
});

test("what the package adds to a Worker is within its budget", async (t) => {
  const budget = JSON.parse(readFileSync(join(root, "scripts/size-budget.json"), "utf8"));
  const { wasm, javascript, total } = await sizes();
  for (const [what, { raw, gzip }] of Object.entries({ wasm, javascript, total })) {
    t.diagnostic(`${what}: ${raw} bytes, ${gzip} gzipped`);
  }
  assert.equal(wasm.raw, statSync(join(pkg, "session.wasm")).size);
  assert.ok(wasm.gzip <= budget["pkg/session.wasm"].gzip);
  // The wasm in the entry for Node.js would be 160 kB more.
  assert.ok(javascript.gzip <= 21_400);
  assert.deepEqual(total, { raw: wasm.raw + javascript.raw, gzip: wasm.gzip + javascript.gzip });
});

test("the entry for Node.js holds the bytes of session.wasm", async () => {
  const { default: text } = await import("../../pkg/wasm-inline.js");
  assert.deepEqual(brotliDecompressSync(Buffer.from(text, "base64")), readFileSync(join(pkg, "session.wasm")));
});

test("sessions that handle does not release are released by the garbage collector", () => {
  const script = `
    import { MemoryConnector, Sessions } from ${JSON.stringify(join(pkg, "node.js"))};
    import { initSync } from ${JSON.stringify(join(pkg, "glue.js"))};
    const memory = () => initSync({}).memory.buffer.byteLength;
    const connector = new MemoryConnector();
    const secret = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
    let sessions = new Sessions(connector, { secret });
    const response = await sessions.handle(new Request("https://x/"), null, (s) => { s.set("a", "x".repeat(2000)); return new Response(); });
    const cookie = response.headers.getSetCookie().map((c) => c.split(";")[0]).join("; ");
    const sizes = [];
    for (let round = 0; round < 16; round++) {
      for (let i = 0; i < 1000; i++) {
        const session = await sessions.load(cookie); // never committed
        session.get("a");
        // A connector and a configuration for one request only.
        if (i % 10 === 0) await new Sessions(new MemoryConnector(), { secret }).load(cookie);
      }
      for (let i = 0; i < 3; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)); }
      sizes.push(memory());
    }
    console.log(JSON.stringify(sizes));
  `;
  const output = execFileSync(process.execPath, ["--expose-gc", "--input-type=module", "-e", script], { encoding: "utf8" });
  const sizes = JSON.parse(output);
  // Memory grows while the isolate's tables fill, and then stays the same except for a page or two, because
  // garbage collection is unpredictable. Keeping one session per request would take 20 MB.
  assert.ok(sizes.at(-1) - sizes.at(-8) < 1_000_000, output);
});

test("a request that the runtime has stopped in its handler keeps nothing", () => {
  const script = `
    import { MemoryConnector, Sessions } from ${JSON.stringify(join(pkg, "node.js"))};
    const sessions = new Sessions(new MemoryConnector(), { secret: "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY" });
    const seen = [];
    const never = (session) => new Promise(() => seen.push(new WeakRef(session)));
    for (let i = 0; i < 10; i++) sessions.handleLazy(new Request("https://x/"), null, never);
    const living = () => seen.filter((ref) => ref.deref()).length;
    for (let i = 0; i < 100 && living() > 0; i++) { await new Promise((resolve) => setImmediate(resolve)); gc(); }
    console.log(seen.length, living());
  `;
  const output = execFileSync(process.execPath, ["--expose-gc", "--input-type=module", "-e", script], { encoding: "utf8" });
  assert.equal(output.trim(), "10 0");
});

describe("the tarball", () => {
  let project;
  before(() => {
    project = mkdtempSync(join(tmpdir(), "edge-session-project-"));
    const [{ filename, files, size }] = JSON.parse(npm(["pack", "--json", "--pack-destination", project], pkg));
    console.log(`${filename}: ${files.length} files, ${size} bytes`);
    writeFileSync(join(project, "package.json"), '{ "name": "project", "private": true, "type": "module" }\n');
    npm(["install", "--offline", "--no-audit", "--no-fund", `./${filename}`], project);
    cpSync(join(root, "node_modules/hono"), join(project, "node_modules/hono"), { recursive: true });
  });
  after(() => rmSync(project, { recursive: true, force: true }));

  test("holds what its manifest names, and nothing else", () => {
    const installed = join(project, "node_modules/edge-session");
    const paths = (entry) => (typeof entry === "string" ? [entry] : Object.values(entry).flatMap(paths));
    const named = paths({ ...manifest.exports, ...manifest.imports });
    for (const path of named) assert.ok(existsSync(join(installed, path)), path);
    const unknown = readdirSync(installed).filter((name) => !/\.(js|d\.ts|wasm)$|^package\.json$|^LICENSE|^README/.test(name));
    assert.deepEqual(unknown, []);
  });

  /** Two requests of one browser, one of them through Hono; prints what the second reads. */
  const ROUND_TRIP = `
    async function roundTrip() {
      const sessions = new Sessions(new MemoryConnector(), { secret: SessionStore.generateSessionId() });
      const app = new Hono();
      app.use(sessionMiddleware({ sessions }));
      app.get("/", (c) => c.text(c.get("session").get("name", "nobody")));
      const first = await sessions.handle(new Request("https://x/"), null, (session) => {
        session.set("name", "Ada");
        return new Response();
      });
      const cookie = first.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
      console.log(await (await app.request("https://x/", { headers: { cookie } })).text());
    }
    roundTrip();
  `;
  const IMPORTS = `
    import { MemoryConnector, SessionStore, Sessions } from "edge-session";
    import { sessionMiddleware } from "edge-session/hono";
    import { Hono } from "hono";
  `;
  const REQUIRES = IMPORTS.replaceAll(/import (.*) from (.*);/g, "const $1 = require($2);");
  const node = (file, cwd) => execFileSync(process.execPath, [file], { cwd, encoding: "utf8" });

  test("works in Node.js, imported and required", () => {
    writeFileSync(join(project, "node.mjs"), IMPORTS + ROUND_TRIP);
    assert.equal(node("node.mjs", project), "Ada\n");
    writeFileSync(join(project, "node.cjs"), REQUIRES + ROUND_TRIP);
    assert.equal(node("node.cjs", project), "Ada\n");
  });

  /** A bundle of `source`, made with the package installed in `project`, alone in a folder. */
  async function bundle(source, file, options) {
    const alone = join(project, "bundled");
    rmSync(alone, { recursive: true, force: true });
    mkdirSync(alone);
    const outfile = join(alone, file);
    const stdin = { contents: source, resolveDir: project };
    await build({ stdin, outfile, bundle: true, logLevel: "silent", ...options });
    return outfile;
  }

  for (const [name, source, file, options] of [
    ["an ES module", IMPORTS, "out.mjs", { format: "esm" }],
    ["an ES module, minified", IMPORTS, "out.mjs", { format: "esm", minify: true }],
    ["CommonJS", IMPORTS, "out.cjs", { format: "cjs" }],
    ["CommonJS, of sources that require", REQUIRES, "out.cjs", { format: "cjs" }],
  ]) {
    test(`works in Node.js, bundled as ${name}`, async () => {
      const out = await bundle(source + ROUND_TRIP, file, { platform: "node", ...options });
      // In a folder without packages and other files.
      const elsewhere = mkdtempSync(join(tmpdir(), "edge-session-bundle-"));
      try {
        cpSync(out, join(elsewhere, file));
        assert.equal(node(file, elsewhere), "Ada\n");
      } finally {
        rmSync(elsewhere, { recursive: true, force: true });
      }
    });
  }

  test("a Worker's bundle imports session.wasm and does not hold it", async () => {
    const { default: text } = await import("../../pkg/wasm-inline.js");
    const worker = { format: "esm", external: ["*.wasm"] };
    const conditions = [
      ["workerd", "worker", "browser"], // wrangler's
      ["worker"],
      ["worker", "node"],
    ];
    for (const names of conditions) {
      const out = readFileSync(await bundle(IMPORTS + ROUND_TRIP, "out.mjs", { ...worker, conditions: names }), "utf8");
      assert.match(out, /from "\.\/session\.wasm"/);
      assert.ok(!out.includes(text.slice(0, 100)), names.join());
    }
  });

  test("a bundle for browsers says that sessions are for the server", async () => {
    const source = `
      import { MemoryConnector, SessionError, SessionStore, Sessions, init } from "edge-session";
      import { readFileSync } from "node:fs";
      const secret = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
      for (const use of [() => new Sessions(new MemoryConnector(), { secret }), () => SessionStore.generateSessionId()]) {
        try {
          use();
        } catch (error) {
          console.log(error instanceof SessionError, error.code, error.message);
        }
      }
      init(new WebAssembly.Module(readFileSync(${JSON.stringify(join(pkg, "session.wasm"))})));
      console.log(SessionStore.generateSessionId().length);
    `;
    const out = await bundle(source, "out.mjs", { format: "esm", platform: "browser", external: ["node:*"] });
    const lines = node(out, project).split("\n");
    assert.match(lines[0], /^true not_ready edge-session runs on the server.*import it only in server code/);
    assert.equal(lines[1], lines[0]);
    assert.equal(lines[2], "43");
  });

  for (const [name, source] of [
    ["js-worker", "index.js"],
    ["hono", "index.ts"],
  ]) {
    test(`examples/${name} runs under wrangler dev`, { timeout: 120_000 }, async () => {
      const from = join(root, "examples", name);
      cpSync(join(from, "src", source), join(project, "src", source));
      cpSync(join(from, "wrangler.toml"), join(project, "wrangler.toml"));
      writeFileSync(join(project, ".dev.vars"), `SESSION_SECRET=${nodeEntry.SessionStore.generateSessionId()}\n`);
      const wrangler = await start(project);
      try {
        let cookie = "";
        for (const views of [1, 2, 3]) {
          const response = await fetch(wrangler.url, { headers: { cookie } });
          const text = await response.text();
          assert.equal(text, name === "hono" ? JSON.stringify({ views, owner: null }) : `${views}`);
          const set = response.headers.getSetCookie().map((one) => one.split(";")[0]);
          const jar = new Map([...cookie.split("; "), ...set].filter(Boolean).map((pair) => [pair.split("=")[0], pair]));
          cookie = [...jar.values()].join("; ");
        }
      } finally {
        await wrangler.stop();
      }
    });
  }

  test("a Worker exports the class of the Durable Object, under wrangler dev", { timeout: 120_000 }, async () => {
    const source = `
      export { SessionObject } from "edge-session/durable-object";
      export default {
        async fetch(request, env) {
          const stub = env.SESSION_OBJECTS.get(env.SESSION_OBJECTS.idFromName("one"));
          const ask = async (operation, body) => {
            const response = await stub.fetch("https://object/v1/" + operation, { method: "POST", body: JSON.stringify(body) });
            return response.json();
          };
          const put = { key: "a", value: "v", revision: "1", expiresAt: Date.now() + 60_000 };
          const done = await ask("transact", { checks: [{ absent: "a" }], writes: [{ put }] });
          const { rows } = await ask("read", { keys: ["a", "b"] });
          return Response.json({ done, values: rows.map((row) => row && row.value) });
        },
      };`;
    writeFileSync(join(project, "object.js"), source);
    writeFileSync(
      join(project, "wrangler.toml"),
      `name = "object"
main = "object.js"
compatibility_date = "2026-11-01"

[[durable_objects.bindings]]
name = "SESSION_OBJECTS"
class_name = "SessionObject"

[exports.SessionObject]
type = "durable-object"
storage = "sqlite"
`,
    );
    const wrangler = await start(project);
    try {
      assert.deepEqual(await (await fetch(wrangler.url)).json(), { done: { done: true }, values: ["v", null] });
    } finally {
      await wrangler.stop();
    }
  });
});

/** Starts `wrangler dev` in a project. Resolves when it responds. */
function start(cwd) {
  const program = join(root, "node_modules/wrangler/bin/wrangler.js");
  const args = [program, "dev", "--local", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0"];
  const child = spawnGroup(process.execPath, args, {
    cwd,
    env: { ...process.env, ...quietWrangler },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const stop = () => {
    killGroup(child);
    return ended;
  };
  let output = "";
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        output += `${line}\n`;
        const url = line.match(/Ready on (http\S+)/)?.[1];
        if (url) resolve({ url, stop });
      });
    }
    ended.then((status) => reject(new Error(`wrangler dev ended with ${status}:\n${output}`)));
  });
}
