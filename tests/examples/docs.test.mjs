// Every code block of the READMEs and of docs/: Rust is compiled for wasm32, or stands in a file of native tests;
// JavaScript is bundled as for a Worker and run; commands exist; links have a target.

import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { after, before, suite, test } from "node:test";
import { pathToFileURL } from "node:url";

import { UNOPTIMIZED, cargoWasm } from "../../scripts/build.mjs";
import { exec, inRoot } from "../../scripts/run.mjs";

const pages = readdirSync(inRoot("docs")).filter((name) => name.endsWith(".md"));
const documents = ["README.md", "CONTRIBUTING.md", "js/README.md", ...pages.map((name) => `docs/${name}`)];
const textOf = new Map(documents.map((name) => [name, readFileSync(inRoot(name), "utf8")]));

/** Fenced blocks, also those in a list: `{ where, language, code }`. */
const blocks = documents.flatMap((name) => {
  const found = [];
  let open = null;
  for (const [i, line] of textOf.get(name).split("\n").entries()) {
    const fence = line.match(/^(\s*)```(\S*)/);
    if (fence && open) {
      found.push(open);
      open = null;
    } else if (fence) {
      open = { where: `${name}:${i + 1}`, indent: fence[1].length, language: fence[2], code: "" };
    } else if (open) {
      open.code += `${line.slice(open.indent)}\n`;
    }
  }
  assert.equal(open, null, `${name}: a block has no end`);
  return found;
});
const written = (...languages) => blocks.filter(({ language }) => languages.includes(language));

test("the languages of all blocks are those that are checked here", () => {
  const known = ["", "js", "json", "rust", "sh", "toml", "ts"];
  assert.deepEqual([...new Set(blocks.map(({ language }) => language))].sort(), known);
});

suite("Rust", () => {
  const crate = inRoot("target", "docs-examples");
  const isTest = ({ code }) => code.includes("#[test]");
  const places = new Map();

  before(() => {
    rmSync(crate, { recursive: true, force: true });
    mkdirSync(join(crate, "src"), { recursive: true });
    mkdirSync(join(crate, "examples"));
    for (const [i, { where, code }] of written("rust").filter((block) => !isTest(block)).entries()) {
      places.set(`block_${i}`, where);
      writeFileSync(join(crate, "examples", `block_${i}.rs`), code);
    }
    writeFileSync(join(crate, "src", "lib.rs"), "");
    // Each is a crate of its own, because a crate has one handler.
    const examples = [...places.keys()].map((name) => `[[example]]\nname = "${name}"\ncrate-type = ["lib"]\n`);
    writeFileSync(
      join(crate, "Cargo.toml"),
      `[package]
name = "docs-examples"
version = "0.0.0"
edition = "2024"
publish = false

[dependencies]
axum = { version = "0.8", default-features = false }
edge-session = { path = "../..", features = ["worker", "axum", "durable-object"] }
futures-util = { version = "0.3", default-features = false, features = ["std"] }
serde_json = "1"
tower-service = "0.3"
worker = { version = "0.8.7", features = ["http"] }

${examples.join("\n")}
[lints.rust]
dead_code = "allow"

[workspace]

# As in the repository, so that what was compiled there is used.
[profile.test]
debug = false
`,
    );
    // With the versions of the rest of the repository.
    copyFileSync(inRoot("Cargo.lock"), join(crate, "Cargo.lock"));
  });
  after(() => rmSync(crate, { recursive: true, force: true }));

  const sources = () => [...places].map(([name, where]) => `${name} is ${where}`).join(", ");

  test("handlers compile for wasm32, without a warning", async () => {
    assert.ok(written("rust").length > 5);
    const manifest = join(crate, "Cargo.toml");
    const args = ["build", "--examples", "--profile", "test", ...UNOPTIMIZED, "--target", "wasm32-unknown-unknown", "--manifest-path", manifest];
    const output = await cargoWasm("compiling the Rust in docs/", args, { capture: true });
    const ours = output.split("\n").filter((line) => /^\s*--> examples\/block_/.test(line));
    assert.deepEqual(ours, [], `${sources()}\n${output}`);
  });

  /** Lines in a document are shorter than those of rustfmt. */
  const tokens = (code) => code.replaceAll(/\s+/g, "").replaceAll(/,(?=[)}\]])/g, "");

  test("tests are those of a file that `cargo test` runs", () => {
    const shown = written("rust").filter(isTest);
    assert.equal(shown.length, 2);
    const folders = ["tests", "examples/recipes"];
    const files = folders.flatMap((folder) => readdirSync(inRoot(folder)).map((name) => inRoot(folder, name)));
    const sources = files.filter((file) => file.endsWith(".rs")).map((file) => tokens(readFileSync(file, "utf8")));
    for (const { where, code } of shown) {
      assert.ok(sources.some((source) => source.includes(tokens(code))), `${where}: no file of tests/ or examples/recipes/ has these tests`);
    }
  });
});

suite("JavaScript", () => {
  // Inside the repository, so that external modules are found.
  const out = inRoot("target", "docs-examples-js");
  // The folder of the file that docs/service-binding.md says to copy.
  const beside = inRoot("examples", "service-binding", "src");
  const SUBPATHS = ["hono", "testing", "durable-object"];
  const SECRET = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";

  before(async () => {
    const { buildPackage } = await import("../../scripts/build-package.mjs");
    if (!process.env.EDGE_SESSION_BUILT || !existsSync(inRoot("pkg", "package.json"))) await buildPackage();
    mkdirSync(out, { recursive: true });
    // A stub of the platform's module. Objects are tested in workerd.
    writeFileSync(join(out, "platform.mjs"), "export class DurableObject {}\n");
  });
  after(() => rmSync(out, { recursive: true, force: true }));

  const bundle = async ({ code, language }, entry, file) => {
    const { build } = await import("esbuild");
    const pkg = (name) => inRoot("pkg", name);
    await build({
      stdin: { contents: code, loader: language, resolveDir: beside },
      outfile: join(out, file),
      bundle: true,
      format: "esm",
      platform: "neutral",
      conditions: ["workerd", "worker"],
      mainFields: ["module", "main"],
      alias: {
        ...Object.fromEntries(SUBPATHS.map((name) => [`edge-session/${name}`, pkg(`${name}.js`)])),
        "edge-session": pkg(entry),
        "cloudflare:workers": join(out, "platform.mjs"),
      },
      external: ["*.wasm", "node:*", ...(entry === "node.js" ? [pkg(entry)] : [])],
      logLevel: "silent",
      logOverride: { "import-is-undefined": "error" },
    });
  };

  for (const [i, block] of written("js", "ts").entries()) {
    test(block.where, async () => {
      await bundle(block, "workerd.js", `${i}.worker.mjs`);
      await bundle(block, "node.js", `${i}.mjs`);
      const file = join(out, `${i}.mjs`);
      if (block.code.includes('from "node:test"')) {
        const env = { NODE_TEST_CONTEXT: undefined }; // a separate test run
        const { status, output } = await exec(process.execPath, ["--test", file], { capture: true, env });
        assert.equal(status, 0, output);
        return;
      }
      const { MemoryConnector } = await import(pathToFileURL(inRoot("pkg", "node.js")));
      const { default: worker } = await import(pathToFileURL(file));
      // A stub of the session Worker; service-binding.test.mjs uses the real one.
      const SESSION = { fetch: async (_url, { method }) => new Response(null, { status: method === "GET" ? 404 : 200 }) };
      const [SESSIONS, OLD_SESSIONS] = [asKv(new MemoryConnector()), asKv(new MemoryConnector())];
      const SESSION_OBJECTS = MemoryConnector.strong();
      const env = { SESSIONS, OLD_SESSIONS, SESSION, SESSION_OBJECTS, SESSION_SECRET: SECRET };
      const routes = [...block.code.matchAll(/"(GET|POST) (\/\w*)"/g)].map(([, ...route]) => route);
      for (const [method, path] of [...routes, ["GET", "/"]]) {
        const body = method === "POST" ? "ada" : undefined;
        const work = [];
        const ctx = { waitUntil: (promise) => work.push(promise), passThroughOnException() {} };
        const answer = worker.fetch(new Request(`https://example.com${path}`, { method, body }), env, ctx);
        // `requireRecentAuth` fails, because nobody is logged in.
        const response = await Promise.resolve(answer).catch((error) => error.toResponse());
        await Promise.all(work);
        assert.ok(response.status < 500, `${method} ${path}: ${response.status} ${await response.text()}`);
      }
    });
  }

  /** The errors of tsc for the blocks of a language, with the package's types. */
  async function typeErrors(language, options, blocks) {
    const names = blocks.map(({ where, code }, i) => {
      const name = `${language}-${i}.${language === "ts" ? "ts" : "mjs"}`;
      writeFileSync(join(out, name), `// ${where}\n${code}`);
      return name;
    });
    // Stubs of Node.js's modules, whose types the package does not contain.
    writeFileSync(join(out, "node.d.ts"), 'declare module "node:*" { const any: any; export default any; export const test: any; }\n');
    const compilerOptions = {
      target: "es2024",
      module: "esnext",
      moduleResolution: "bundler",
      lib: ["es2024", "dom", "dom.iterable"],
      noEmit: true,
      paths: Object.fromEntries(
        ["index", ...SUBPATHS].map((name) => [name === "index" ? "edge-session" : `edge-session/${name}`, [inRoot("pkg", `${name}.d.ts`)]]),
      ),
      rootDirs: [beside, out],
      ...options,
    };
    writeFileSync(join(out, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["node.d.ts", ...names] }));
    const tsc = inRoot("node_modules", "typescript", "bin", "tsc");
    const { status, output } = await exec(process.execPath, [tsc, "-p", out], { capture: true });
    return status === 0 ? "" : output;
  }

  test("TypeScript is right by the package's types", async () => {
    const blocks = written("ts");
    assert.ok(blocks.length > 0);
    assert.equal(await typeErrors("ts", { strict: true }, blocks), "");
    // The check must find errors.
    const wrong = { where: "nowhere", code: 'import { Sessions } from "edge-session";\nSessions.fromEnvironment({});\n' };
    assert.match(await typeErrors("ts", { strict: true }, [wrong]), /fromEnvironment/);
  });

  test("JavaScript is, as far as it says types", async () => {
    // JavaScript cannot pass the type parameter for the variables of Hono's context.
    const blocks = written("js").filter(({ code }) => !code.includes('from "hono"'));
    assert.ok(blocks.length > 8);
    assert.equal(await typeErrors("js", { strict: false, allowJs: true, checkJs: true }, blocks), "");
  });

  /** The parts of Workers KV that the package and the examples use. */
  function asKv(memory) {
    return {
      async get(keys, options) {
        const type = typeof options === "string" ? options : options?.type;
        const values = await memory.read([keys].flat());
        const read = (value) => (value !== null && type === "json" ? JSON.parse(value) : value);
        return Array.isArray(keys) ? new Map(keys.map((key, at) => [key, read(values[at])])) : read(values[0]);
      },
      put: (key, value, { expirationTtl, metadata } = {}) => memory.put(key, value, { ttl: expirationTtl, metadata }),
      delete: (key) => memory.delete(key),
      async list(options) {
        const { keys, cursor } = await memory.list(options);
        return { keys, cursor, list_complete: !cursor };
      },
    };
  }
});

suite("commands", () => {
  const wrangler = inRoot("node_modules", "wrangler", "bin", "wrangler.js");
  // wrangler requires Node 22, which the set-up has chosen for the tests.
  const helps = new Map();
  const helpOf = (words) => {
    const command = words.join(" ");
    if (!helps.has(command)) helps.set(command, ask(words));
    return helps.get(command);
  };
  const ask = async (words) => {
    const { status, output } = await exec(process.execPath, [wrangler, ...words, "--help"], {
      capture: true,
      env: { WRANGLER_HIDE_BANNER: "true", WRANGLER_SEND_METRICS: "false", WRANGLER_WRITE_LOGS: "false", CI: "true" },
    });
    assert.equal(status, 0, output);
    return output;
  };

  const { scripts } = JSON.parse(readFileSync(inRoot("package.json"), "utf8"));
  const commands = written("sh").flatMap(({ where, code }) =>
    code
      .replaceAll(/\\\n\s*/g, "")
      .split("\n")
      .flatMap((line) => line.replace(/\s+#.*/, "").split(" | "))
      .filter((line) => line !== "")
      .map((line) => ({ where, line })),
  );

  // Where each command is checked, or why it cannot be.
  const RUNS = [
    [/^npm start$/, "tests/scripts/start.test.mjs", "npmStart"],
    [/^npm test$/, "scripts/test.mjs", "kinds"], // it runs this file
    [/^npm run -s secret$/, "tests/examples/newcomer.test.mjs", "-s secret"],
    [/^npm run build:package$/, "tests/examples/newcomer.test.mjs", "buildPackage()"],
    [/^npm install \.\.\/edge-session\/pkg$/, "tests/examples/newcomer.test.mjs", "npm install"],
    [/^(?:echo "SESSION_SECRET=\$\()?openssl rand -base64 32/, "tests/examples/newcomer.test.mjs", "openssl rand -base64 32"],
    [/^echo 'SESSION_COOKIE_SECURE=false' >> \.dev\.vars$/, "tests/workerd/config.test.mjs", "SESSION_COOKIE_SECURE: false"],
  ];
  const ACCOUNT = "needs a Cloudflare account";
  const STAYS_OUT = [
    [/^cp -r examples\/sveltekit \.\.\/my-shop && cd \.\.\/my-shop$/, "tests/frameworks builds and runs the example"],
    [/^npm install --save-dev wrangler$/, "the tests use the wrangler of this repository"],
    [/^npm run deploy$/, ACCOUNT],
    [/^npx wrangler (kv|secret|deploy|tail|delete)\b/, ACCOUNT],
    [/^curl https:\/\/edge-session\.example\./, ACCOUNT],
    [/^printf %s "\$(OLD|NEW)/, "a secret on its way to an account"],
    [/^npm run (bench|simulate)\b/, "measures or searches for as long as it is given"],
    [/^cargo install cargo-mutants$|^cargo mutants /, "builds and tests the crate hundreds of times"],
    [/^cargo install cargo-fuzz$|^cargo \+nightly fuzz run /, "wants a nightly compiler"],
  ];

  for (const { where, line } of commands) {
    test(`${where}: ${line}`, async () => {
      const runs = RUNS.find(([command]) => command.test(line));
      const staysOut = STAYS_OUT.find(([command]) => command.test(line));
      assert.ok(Boolean(runs) !== Boolean(staysOut), "runs nowhere, and nothing says why");
      if (runs) {
        const [, file, proof] = runs;
        assert.ok(readFileSync(inRoot(file), "utf8").includes(proof), `${file} runs no ${proof}`);
      }
      const words = line.match(/'[^']*'|"[^"]*"|\S+/g);
      if (words[0] === "npm" && words[1] !== "install") {
        const script = words[1] === "run" ? words.slice(2).find((word) => !word.startsWith("-")) : words[1];
        assert.ok(Object.hasOwn(scripts, script), `there is no script ${script}`);
      }
      if (words[0] !== "npx") return;
      // Wrangler itself must know the command and its options.
      const from = words.findIndex((word) => word.startsWith("-"));
      const flags = words.filter((word) => word.startsWith("--"));
      // The words before the flags, without arguments such as SESSIONS or SESSION_SECRET.
      const subcommand = words.slice(2, from < 0 ? undefined : from).filter((word) => /^[a-z]/.test(word));
      const help = await helpOf(subcommand);
      assert.ok(help.includes(`wrangler ${subcommand.join(" ")}`), help);
      for (const flag of flags) assert.ok(help.includes(`${flag} `), `${flag}\n${help}`);
    });
  }
});

test("scripts that are named in a sentence are there", () => {
  const { scripts } = JSON.parse(readFileSync(inRoot("package.json"), "utf8"));
  const named = documents.flatMap((name) => [...textOf.get(name).matchAll(/`npm run (?:-s )?([\w:-]+)/g)].map(([, script]) => [name, script]));
  assert.ok(named.length > 5);
  assert.deepEqual(named.filter(([, script]) => !Object.hasOwn(scripts, script)), []);
});

test("JSON is JSON", () => {
  for (const { where, code } of written("json")) {
    assert.doesNotThrow(() => JSON.parse(code), where);
  }
});

test("the tests that docs/consistency.md names are there", () => {
  const named = [...textOf.get("docs/consistency.md").matchAll(/ `(\w+\.(?:rs|test\.mjs))`: ([^|]+) \|$/gm)];
  assert.ok(named.length > 10);
  for (const [, file, names] of named) {
    const text = readFileSync(inRoot("tests", file.endsWith(".rs") ? file : `workerd/${file}`), "utf8");
    const isThere = (name) => [`fn ${name}()`, `test("${name}"`, `story("${name}"`].some((said) => text.includes(said));
    // Several functions may be listed; a title may contain commas.
    const found = isThere(names) || names.split(", ").every(isThere);
    assert.ok(found, `${file}: ${names}`);
  }
});

test("links lead somewhere", () => {
  /** The anchors that GitHub makes from headings. */
  const anchors = (text) =>
    new Set(
      [...text.replaceAll(/^```[^]*?^```/gm, "").matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
        heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-"),
      ),
    );
  const broken = [];
  let seen = 0;
  const read = (name) => [name, readFileSync(inRoot(name), "utf8")];
  const others = readdirSync(inRoot("docs", "frameworks")).map((name) => read(`docs/frameworks/${name}`));
  for (const [name, text] of [...textOf, ...others, read("CHANGELOG.md"), read("scripts/README.md")]) {
    for (const [, target] of text.replaceAll(/^```[^]*?^```/gm, "").matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      seen += 1;
      const [path, anchor] = target.split("#");
      const file = path === "" ? inRoot(name) : join(dirname(inRoot(name)), path);
      const other = relative(inRoot(), file).replaceAll("\\", "/");
      if (!existsSync(file)) broken.push(`${name}: ${target}`);
      else if (anchor && !anchors(textOf.get(other) ?? readFileSync(file, "utf8")).has(anchor)) broken.push(`${name}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
  assert.ok(seen > 50, `${seen} links`);
});
