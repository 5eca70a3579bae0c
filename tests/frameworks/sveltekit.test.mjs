// examples/sveltekit, by SvelteKit's own build.

import assert from "node:assert/strict";
import { test } from "node:test";

import { testInBrowser } from "./support/browser.mjs";
import { testShop } from "./support/shop.mjs";

testShop("sveltekit", {
  build: { outputs: [".svelte-kit/", ".wrangler/"], config: "wrangler.jsonc", assets: ".svelte-kit/cloudflare" },
  paths: { cart: "/?/add", logout: "/?/logout" },
  more(shop) {
    testInBrowser(shop);
    const { get, add, login } = shop;

    test("an endpoint that a page asks has the session of the page, and there is one commit", async () => {
      const visitor = shop.world.browser();
      await login(visitor, "ada");
      await add(visitor, "pear");
      const { result, counts } = await shop.world.counted(() => get(visitor, "/devices"));
      assert.match(result.text, /id="count">1</);
      assert.deepEqual(counts.requests, 1);
    });
  },
});
