// The example of getting started in Rust, built as a separate crate and tested over HTTP. The shops are in
// shop.test.mjs.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";

import { buildExample } from "../../scripts/build.mjs";
import { inRoot } from "../../scripts/run.mjs";
import { startWorker } from "../workerd/support/harness.mjs";
import { exported } from "./support/wasm.mjs";

suite("examples/rust-worker", () => {
  let built;
  let world;
  before(async () => {
    built = await buildExample("rust-worker");
    world = await startWorker({ directory: built.dir, vars: { SESSION_SERVER_TIMING: "true" } });
  });
  after(() => world?.stop());

  const codeOf = ({ status, headers, json }) => [status, headers["content-type"], json.code];

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

  test("is the code of getting started", () => {
    const page = readFileSync(inRoot("docs", "getting-started-rust.md"), "utf8");
    // Lines in the document are shorter than those of rustfmt.
    const tokens = (code) => code.replaceAll(/\s+/g, "").replaceAll(/,(?=[)}])/g, "");
    const blocks = [...page.matchAll(/^```rust\n(.*?)^```$/gms)].map(([, code]) => tokens(code));
    const source = (name) => readFileSync(inRoot("examples", "rust-worker", "src", name), "utf8");
    const login = tokens(source("login.rs").replace(/^\/\/!.*\n/, ""));
    assert.ok(blocks.includes(login), "src/login.rs is not a block of the page");
    const [counter] = blocks[0].match(/letsessions=.*$/);
    assert.ok(tokens(source("lib.rs")).includes(counter), "src/lib.rs does not count as the page does");
  });

  test("the code of getting started logs in and out", async () => {
    const browser = world.browser();
    await browser.fetch("/");
    const login = await browser.fetch("/login", { method: "POST", body: "ada" });
    assert.deepEqual([login.status, login.headers.location], [303, "/"]);
    assert.equal((await browser.fetch("/hello")).text, "Welcome back, ada");
    assert.equal((await browser.fetch("/hello")).text, "hello ada");
    assert.equal((await browser.fetch("/")).text, "2", "a login keeps what the visitor had");
    assert.equal((await browser.fetch("/password", { method: "POST" })).status, 303);
    assert.equal((await browser.fetch("/logout", { method: "POST" })).status, 303);
    assert.equal((await browser.fetch("/hello")).text, "hello stranger");
  });

  test("the code of getting started answers 401 where a recent login is required", async () => {
    const browser = world.browser();
    await browser.fetch("/");
    const password = () => browser.fetch("/password", { method: "POST" });
    const required = [401, "application/problem+json", "reauth_required"];
    assert.deepEqual(codeOf(await password()), required, "nobody is logged in");
    await browser.fetch("/login", { method: "POST", body: "ada" });
    await world.advance(301);
    assert.deepEqual(codeOf(await password()), required, "the login is older");
    await browser.fetch("/login", { method: "POST", body: "ada" });
    assert.equal((await password()).status, 303);
  });

  test("the code of getting started answers 422 where a value is of another type", async () => {
    const browser = world.browser();
    await browser.fetch("/older");
    assert.deepEqual(codeOf(await browser.fetch("/")), [422, "application/problem+json", "wrong_type"]);
  });

  test("exports nothing of ours", () => {
    assert.deepEqual(exported(built.dir), ["fetch", "init"]);
  });
});
