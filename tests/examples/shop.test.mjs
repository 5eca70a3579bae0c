// The shop in Rust, once with the router of the crate `worker` and once with axum: the same over HTTP.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";

import { buildExample } from "../../scripts/build.mjs";
import { startWorker } from "../workerd/support/harness.mjs";
import { exported } from "./support/wasm.mjs";

for (const name of ["shop-worker", "axum"]) {
  suite(`examples/${name}`, () => {
    let built;
    let world;
    before(async () => {
      built = await buildExample(name);
      world = await startWorker({ directory: built.dir, vars: { SESSION_SERVER_TIMING: "true" } });
    });
    after(() => world?.stop());

    /** A visitor of the shop, who loads pages and sends forms with the token of the last page. */
    function visitor() {
      const browser = world.browser();
      const headers = { "User-Agent": "Firefox", "X-Test-Cf": JSON.stringify({ country: "NL" }) };
      let csrf = "";
      const get = async (path) => {
        const answer = await browser.fetch(path, { headers });
        csrf = answer.text.match(/name=csrf value="([^"]+)"/)?.[1] ?? csrf;
        return answer;
      };
      return {
        browser,
        get,
        async post(path, fields = {}) {
          const answer = await browser.fetch(path, {
            method: "POST",
            headers: { ...headers, "Content-Type": "application/x-www-form-urlencoded" },
            body: new URLSearchParams({ csrf, ...fields }).toString(),
          });
          return answer.status === 303 ? get(answer.headers.location) : answer;
        },
        async login(user) {
          await get("/");
          return this.post("/login", { user });
        },
      };
    }

    test("a cart stays when its visitor logs in, and a notice is shown once", async () => {
      const [ada, bob] = [visitor(), visitor()];
      await ada.get("/");
      assert.match((await ada.post("/cart", { item: "apple" })).text, /Cart: apple</);
      const welcome = await ada.login("ada");
      assert.equal(welcome.status, 200);
      assert.match(welcome.text, /Welcome, ada\..*Cart: apple<.*Hello, ada\./s);
      assert.doesNotMatch((await ada.get("/")).text, /Welcome/);
      assert.match((await bob.get("/")).text, /Cart: </);

      const goodbye = await ada.post("/logout");
      assert.match(goodbye.text, /Goodbye\./);
      assert.doesNotMatch(goodbye.text, /Cart: apple|Hello/);
      assert.deepEqual(ada.browser.refused, []);
    });

    test("a form without the token of the page is refused", async () => {
      const ada = visitor();
      await ada.login("ada");
      const refused = await ada.post("/cart", { csrf: "guessed", item: "apple" });
      assert.deepEqual([refused.status, refused.json.code], [422, "invalid_value"]);
      assert.match((await ada.get("/")).text, /Cart: </);
    });

    test("devices are listed with their place, and all of them logged out", async () => {
      const [phone, laptop] = [visitor(), visitor()];
      for (const device of [phone, laptop]) await device.login("grace");
      const { text, headers } = await phone.get("/devices");
      assert.deepEqual(text.match(/<li>.*?<\/li>/g).toSorted(), [
        "<li>Firefox, NL (this one)</li>",
        "<li>Firefox, NL</li>",
      ]);
      assert.match(headers["server-timing"], /list 1"$/);

      assert.match((await phone.post("/logout-everywhere")).text, /You are logged out everywhere\./);
      assert.match((await laptop.get("/")).text, /You were logged out\./);
      const devices = await laptop.browser.fetch("/devices");
      assert.deepEqual([devices.status, devices.headers.location], [303, "/"]);
      assert.match((await laptop.login("grace")).text, /Hello, grace\./);
    });

    test("the account needs a login of the last five minutes", async () => {
      const ada = visitor();
      await ada.login("ada");
      assert.equal((await ada.get("/account")).status, 200);
      await world.advance(301);
      const refused = await ada.get("/account");
      assert.equal(refused.status, 401);
      assert.match(refused.text, /Log in again/);
      await ada.post("/login", { user: "ada" });
      assert.equal((await ada.get("/account")).status, 200);
    });

    test("the static page costs nothing and may be cached", async () => {
      const ada = visitor();
      await ada.login("ada");
      const { result, log } = await world.storage.counted(() => ada.get("/about"));
      assert.deepEqual([result.status, result.setCookies, log], [200, [], []]);
      assert.deepEqual([result.headers["cache-control"], result.headers.vary], [undefined, undefined]);
    });

    test("a page with a session is kept by no cache", async () => {
      const answer = await visitor().get("/");
      assert.equal(answer.headers["cache-control"], "no-store");
      assert.match(answer.headers.vary, /cookie/i);
    });

    test("exports nothing of ours", () => {
      assert.deepEqual(exported(built.dir), ["fetch", "init"]);
    });
  });
}
