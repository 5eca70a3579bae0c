// Cargo's runner for wasm test binaries: `wasm-runner.mjs <binary.wasm> [filter] [--exact]`.
//
// Each binary runs in workerd, the runtime of production, and again in Chromium:
//   nothing configured                                        both
//   wasm_bindgen_test_configure!(run_in_browser)              Chromium only
//   wasm_bindgen_test_configure!(run_in_service_worker)       workerd only (its global scope
//                                                             is a ServiceWorkerGlobalScope)
// In workerd `globalThis.testEnv` is the `env` of a Worker with an empty KV namespace `KV`,
// a real binding. CHROME names the browser; without it those runs are reported as left out.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { bindgen } from "./build.mjs";
import { launchBrowser } from "./browser.mjs";
import { Stop, inRoot, main } from "./run.mjs";

const NAME = "tests";
const SECONDS = 300;
const harness = inRoot("scripts", "wasm-harness.mjs");

await main(async () => {
  const [file, ...args] = process.argv.slice(2);
  const filter = args.find((arg) => !arg.startsWith("-"));
  const module = new WebAssembly.Module(readFileSync(file));
  const all = WebAssembly.Module.exports(module)
    .map((entry) => entry.name)
    .filter((name) => name.startsWith("__wbgt_"));
  const tests = all.filter((name) => {
    const path = name.slice(name.indexOf("::") + 2);
    return !filter || (args.includes("--exact") ? path === filter : path.includes(filter));
  });
  // The binary of a file without such tests; its native ones run natively.
  if (all.length === 0) return;

  const [configured] = WebAssembly.Module.customSections(module, "__wasm_bindgen_test_unstable");
  const mode = configured && new Uint8Array(configured)[0];
  const places = { 1: ["chromium"], 4: ["workerd"] }[mode] ?? ["workerd", "chromium"];

  const dir = mkdtempSync(join(tmpdir(), "edge-session-wasm-"));
  let passed = true;
  try {
    await bindgen(file, dir, NAME, "web", ["--test"]);
    for (const place of places) {
      console.log(`\n${basename(file)} in ${place}`);
      if (place === "chromium" && !process.env.CHROME) {
        console.log(`left out: ${tests.length} tests, because there is no browser`);
        continue;
      }
      const run = { workerd: inWorkerd, chromium: inChromium }[place];
      const report = { tests, filtered: all.length - tests.length };
      const late = new Promise((_, reject) => {
        const error = new Stop(`the tests in ${place} took more than ${SECONDS} s`);
        setTimeout(reject, SECONDS * 1000, error).unref();
      });
      passed = (await Promise.race([run(dir, report), late])) && passed;
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return passed ? 0 : 1;
});

/** One request to a Worker that contains the test binary. The response is a stream of the report. */
async function inWorkerd(dir, report) {
  const { Log, LogLevel, Miniflare, convertV4MiniflareOptions } = await import("miniflare");
  const entry = `
    import * as glue from "./${NAME}.js";
    import module from "./${NAME}_bg.wasm";
    import { runTests } from "./harness.js";
    export default {
      fetch(request, env, ctx) {
        const { readable, writable } = new TransformStream();
        const writer = writable.getWriter();
        const encoder = new TextEncoder();
        const print = (line) => void writer.write(encoder.encode(line + "\\n"));
        const run = async () => {
          globalThis.testEnv = env;
          const wasm = glue.initSync({ module });
          return runTests(glue, wasm, { ...${JSON.stringify(report)}, print });
        };
        ctx.waitUntil(
          run()
            .catch((error) => (print(String(error?.stack ?? error)), false))
            .then((passed) => (print(passed ? "PASSED" : "FAILED"), writer.close())),
        );
        return new Response(readable);
      },
    };`;
  const read = (name) => readFileSync(join(dir, name));
  const snippets = listSnippets(dir);
  const compatibilityDate = readFileSync(inRoot("wrangler.toml"), "utf8").match(
    /^compatibility_date = "(.*)"/m,
  )[1];
  const worker = new Miniflare(
    convertV4MiniflareOptions({
      modules: [
        { type: "ESModule", path: "entry.js", contents: entry },
        { type: "ESModule", path: "harness.js", contents: readFileSync(harness) },
        { type: "ESModule", path: `${NAME}.js`, contents: read(`${NAME}.js`) },
        { type: "CompiledWasm", path: `${NAME}_bg.wasm`, contents: read(`${NAME}_bg.wasm`) },
        ...snippets.map((path) => ({ type: "ESModule", path, contents: read(path) })),
      ],
      compatibilityDate,
      kvNamespaces: ["KV"],
      cf: false,
      log: new Log(LogLevel.ERROR),
    }),
  );
  try {
    const answer = await worker.dispatchFetch("http://localhost/");
    let last;
    let rest = "";
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (last !== undefined) console.log(last);
        last = line;
      }
    }
    if (last !== "PASSED" && last !== "FAILED") console.log(`${last}\nthe Worker ended before the report was complete`);
    return last === "PASSED";
  } finally {
    await worker.dispose();
  }
}

/** A page that contains the test binary. We answer the requests for its files, so it needs no server. */
async function inChromium(dir, report) {
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    const files = new Map([["/harness.js", harness]]);
    for (const name of [`${NAME}.js`, `${NAME}_bg.wasm`, ...listSnippets(dir)]) {
      files.set(`/${name}`, join(dir, name));
    }
    const html = `<!doctype html><pre id="output"></pre><script type="module">
      import init, * as glue from "./${NAME}.js";
      import { runTests } from "./harness.js";
      try {
        const wasm = await init({ module_or_path: "./${NAME}_bg.wasm" });
        window.passed = await runTests(glue, wasm, ${JSON.stringify(report)});
      } catch (error) {
        document.getElementById("output").append(String(error?.stack ?? error));
        window.passed = false;
      }
    </script>`;
    // `localhost` is a secure context, without TLS.
    await page.route("http://localhost/**", (route) => {
      const { pathname } = new URL(route.request().url());
      if (pathname === "/") return route.fulfill({ contentType: "text/html", body: html });
      if (files.has(pathname)) return route.fulfill({ path: files.get(pathname) });
      return route.fulfill({ status: 404 });
    });
    await page.goto("http://localhost/");
    await page.waitForFunction(() => window.passed !== undefined, null, { timeout: SECONDS * 1000 });
    console.log((await page.textContent("#output")).trim());
    return await page.evaluate(() => window.passed);
  } finally {
    await browser.close();
  }
}

/** JavaScript files that Rust code imports. */
function listSnippets(dir) {
  const glue = readFileSync(join(dir, `${NAME}.js`), "utf8");
  return [...glue.matchAll(/from ['"]\.\/(snippets\/[^'"]+)['"]/g)].map((match) => match[1]);
}
