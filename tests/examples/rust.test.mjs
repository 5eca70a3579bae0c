// The examples in Rust, each built as a crate of its own and spoken to over HTTP.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";

import { buildExample } from "../../scripts/build.mjs";
import { startWorker } from "../workerd/support/harness.mjs";

for (const name of ["rust-worker", "axum"]) {
  suite(`examples/${name}`, () => {
    let built;
    let world;
    before(async () => {
      built = await buildExample(name);
      world = await startWorker({ directory: built.dir, vars: { SESSION_SERVER_TIMING: "true" } });
    });
    after(() => world?.stop());

    test("counts the views of each visitor", async () => {
      const [ada, bob] = [world.browser(), world.browser()];
      const views = async (browser) => (await browser.fetch("/")).text;
      assert.deepEqual([await views(ada), await views(ada), await views(bob)], ["1", "2", "1"]);
      assert.deepEqual(ada.names.toSorted(), ["__Host-session", "__Host-session-fresh"]);
    });

    test("an answer with a session is kept by no cache", async () => {
      const answer = await world.browser().fetch("/");
      assert.equal(answer.headers["cache-control"], "no-store");
      assert.match(answer.headers.vary, /cookie/i);
    });

    test("an answer with a session tells what that asked of the store", async () => {
      const answer = await world.browser().fetch("/");
      assert.match(answer.headers["server-timing"], /^session;dur=\d+;desc="get 0 keys 0 put 1 delete 0 list 0"$/);
    });

    test("exports nothing of ours", () => {
      const module = new WebAssembly.Module(readFileSync(join(built.dir, "edge_session_bg.wasm")));
      const ours = WebAssembly.Module.exports(module)
        .filter(({ kind, name }) => kind === "function" && !/^(__|wasm_bindgen__)/.test(name))
        .map(({ name }) => name)
        // Streams of wasm-bindgen's own, which the crate `worker` brings.
        .filter((name) => !name.startsWith("intounderlying"));
      // The example's handler, and what the crate `worker` runs at start.
      assert.deepEqual(ours, ["fetch", "init"]);
    });
  });
}

suite("examples/axum, its other routes", () => {
  let world;
  before(async () => {
    const { dir } = await buildExample("axum");
    world = await startWorker({ directory: dir });
  });
  after(() => world?.stop());

  test("a route without a session costs nothing", async () => {
    const browser = world.browser();
    await browser.fetch("/");
    const { result, log } = await world.storage.counted(() => browser.fetch("/about"));
    assert.deepEqual([result.status, result.setCookies, log], [200, [], []]);
  });

  test("a logout is one", async () => {
    const browser = world.browser();
    await browser.fetch("/");
    assert.equal((await browser.fetch("/logout", { method: "POST" })).text, "bye");
    assert.deepEqual(browser.names, []);
    assert.equal((await browser.fetch("/")).text, "1");
  });
});
