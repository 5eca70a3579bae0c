// The pages about frameworks: what they show is code of the examples, which their frameworks compile. What
// is promised is in examples/versions.json. The recipe for Next runs with stand-ins for Next.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

import { world } from "./support/world.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (...path) => readFileSync(join(root, ...path), "utf8");

/** Fenced blocks of code, with the file that the text before each names. */
function blocks(text) {
  const found = [];
  let file;
  let open;
  for (const line of text.split("\n")) {
    const fence = line.match(/^(\s*)```(\S*)/);
    if (fence && open) {
      if (open.language !== "sh") found.push(open);
      open = undefined;
    } else if (fence) open = { file, language: fence[2], indent: fence[1].length, lines: [] };
    else if (open) open.lines.push(line.slice(open.indent));
    else file = line.match(/`([\w/+.-]+\.(?:tsx?|mjs|astro|jsonc))`/)?.[1] ?? file;
  }
  return found;
}

/** True if the lines stand in `source` as they are, at any depth. `// …` stands for lines that are left out. */
function isPart(lines, source) {
  const all = source.split("\n");
  let from = 0;
  const parts = lines.join("\n").split(/^\s*\/\/ …\n?/m).map((part) => part.trimEnd().split("\n"));
  return parts.every((part) => {
    if (part.join("").trim() === "") return true;
    for (let at = from; at + part.length <= all.length; at += 1) {
      const depth = all[at].length - part[0].length;
      if (depth < 0) continue;
      const indented = part.map((line) => (line === "" ? "" : " ".repeat(depth) + line));
      if (indented.every((line, i) => line === all[at + i])) {
        from = at + part.length;
        return true;
      }
    }
    return false;
  });
}

const { frameworks } = JSON.parse(read("examples", "versions.json"));
const written = readdirSync(join(root, "docs", "frameworks"));
const pages = Object.values(frameworks).flatMap(({ example }) => (written.includes(`${example}.md`) ? [example] : []));
assert.ok(pages.length >= 6);

for (const name of pages) {
  test(`docs/frameworks/${name}.md shows code of examples/${name}`, () => {
    const all = blocks(read("docs", "frameworks", `${name}.md`));
    assert.ok(all.length >= 2);
    for (const { file, lines } of all) {
      assert.ok(isPart(lines, read("examples", name, file)), `${file} does not contain:\n${lines.join("\n")}`);
      assert.ok(!isPart([...lines, "other"], read("examples", name, file)));
    }
  });
}

const json = (...path) => JSON.parse(read(...path));

test("the versions that are tested are those of the lock file and of the examples", () => {
  const locks = { examples: json("examples", "package-lock.json").packages, "": json("package-lock.json").packages };
  for (const { example, tested, lock } of Object.values(frameworks)) {
    const { dependencies, devDependencies } = json("examples", example, "package.json");
    for (const [name, version] of Object.entries(tested)) {
      assert.equal({ ...dependencies, ...devDependencies }[name], version, `examples/${example}/package.json: ${name}`);
      if (lock === null) continue;
      const { version: locked } = locks[lock][`node_modules/${name}`];
      assert.equal(locked, version, `${lock || "."}/package-lock.json: ${name}`);
    }
  }
});

test("the example's wrangler reads its .dev.vars, which it finds beside wrangler.jsonc and not beside a build", () => {
  for (const { example } of Object.values(frameworks)) {
    for (const script of Object.values(json("examples", example, "package.json").scripts ?? {})) {
      assert.doesNotMatch(script, /wrangler (dev|deploy) .*--config/, `examples/${example}`);
    }
  }
});

test("the versions that are promised are those that the package asks for, and include the tested ones", () => {
  const { peerDependencies } = json("pkg", "package.json");
  const promised = Object.values(frameworks).flatMap(({ promised }) => Object.entries(promised));
  for (const [name, range] of promised) assert.equal(peerDependencies[name], range, name);
  for (const { promised, tested } of Object.values(frameworks)) {
    for (const [name, range] of Object.entries(promised)) {
      const [least, version] = [range.replace(/^>=/, ""), tested[name]].map((text) => text.split(".").map(Number));
      const at = least.findIndex((number, i) => number !== version[i]);
      assert.ok(at < 0 || version[at] > least[at], `${name}: ${tested[name]} is not ${range}`);
    }
  }
});

test("docs/frameworks.md has a row for each framework, with the versions that are tested", () => {
  const rows = read("docs", "frameworks.md").split("\n").filter((line) => line.startsWith("| ")).map((line) => line.split(" | "));
  for (const [title, { tested, shown }] of Object.entries(frameworks)) {
    const row = rows.find(([first]) => first === `| ${title}`);
    assert.ok(row, `no row for ${title}`);
    const versions = shown.map((name) => tested[name].split(".").slice(0, 2).join("."));
    for (const version of versions) assert.ok(row[1].includes(version), `${title}: ${row[1]} lacks ${version}`);
  }
});

// Next

const out = join(root, "target", "next-recipe");
before(() => mkdirSync(out, { recursive: true }));
after(() => rmSync(out, { recursive: true, force: true }));

test("the recipe for Next reads in pages, changes in actions and commits by name, value and options", async () => {
  // Stand-ins for what Next and OpenNext give: the header and the cookies of a request, and its bindings.
  writeFileSync(
    join(out, "next.mjs"),
    `export const current = {};
     export const headers = async () => current.headers;
     export const cookies = async () => current.jar;
     export const getCloudflareContext = () => {
       if (!current.isAsked) throw new Error("the page would be prerendered");
       return { env: current.env, ctx: current.ctx };
     };`,
  );
  await build({
    entryPoints: [join(root, "examples", "next", "lib", "session.ts")],
    outfile: join(out, "session.mjs"),
    bundle: true,
    format: "esm",
    platform: "neutral",
    alias: { "edge-session": join(root, "pkg", "node.js"), "next/headers": join(out, "next.mjs"), "@opennextjs/cloudflare": join(out, "next.mjs") },
    external: [join(root, "pkg", "node.js"), join(out, "next.mjs")],
    logLevel: "silent",
  });
  const { changeSession, getSessions, readSession } = await import(pathToFileURL(join(out, "session.mjs")));
  const { current } = await import(pathToFileURL(join(out, "next.mjs")));
  const { memory } = world();
  const env = { SESSIONS: memory, SESSION_SECRET: "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY" };

  const kept = new Map();
  const sent = [];
  /** A request of a browser, whose cookies `kept` holds. `cookies().set` may be called in it. */
  const visit = async (handler) => {
    const header = [...kept].map((pair) => pair.join("=")).join("; ");
    current.isAsked = false;
    current.env = env;
    current.ctx = { waitUntil() {} };
    const headers = new Headers(header ? { cookie: header } : {});
    current.headers = new Proxy(headers, {
      get(target, name) {
        current.isAsked = true;
        const value = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    current.jar = {
      toString: () => [...kept].map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("; "),
      set(name, value, options) {
        sent.push({ name, options });
        if (options.maxAge === 0) kept.delete(name);
        else kept.set(name, value);
      },
    };
    return handler();
  };

  assert.deepEqual(await visit(async () => [(await readSession()).owner, (await readSession()).get("cart", [])]), [null, []]);
  await visit(() => changeSession((session) => session.set("cart", ["pear"])));
  assert.deepEqual([...kept.keys()], ["__Host-session", "__Host-session-fresh"]);
  for (const { options } of sent) {
    const { path, secure, httpOnly, sameSite } = options;
    assert.deepEqual({ path, secure, httpOnly, sameSite }, { path: "/", secure: true, httpOnly: true, sameSite: "lax" });
  }
  // A page that an action renders in the same request has what the action changed.
  const rendered = await visit(async () => {
    await changeSession((session) => session.bind("ada"));
    const session = await readSession();
    return [session.owner, session.get("cart", [])];
  });
  assert.deepEqual(rendered, ["ada", ["pear"]]);
  const devices = await visit(async () => {
    await readSession();
    return getSessions().sessions.list("ada");
  });
  assert.equal(devices.length, 1);
  await assert.rejects(visit(() => changeSession(() => Promise.reject(new Error("redirect")))), /redirect/);
  await visit(() => changeSession((session) => session.destroy()));
  assert.deepEqual([...kept], []);
});
