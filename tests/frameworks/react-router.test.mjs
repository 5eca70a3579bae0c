// examples/react-router, by React Router's own build.

import assert from "node:assert/strict";
import { test } from "node:test";

import { testInBrowser } from "./support/browser.mjs";
import { testShop } from "./support/shop.mjs";

testShop("react-router", {
  build: { outputs: ["build/", ".react-router/", ".wrangler/"], config: "build/server/wrangler.json", assets: "build/client" },
  paths: { cart: "/?index" },
  more(shop) {
    testInBrowser(shop);

    test("what a click in the browser asks for has the same cookies and the same errors", async () => {
      const { world, send } = shop;
      const visitor = world.browser();
      const login = await send(visitor, "/login.data", { user: "ada" });
      assert.equal(login.status, 202, "a redirect, for the framework's own client");
      assert.deepEqual(visitor.names, ["__Host-session", "__Host-session-fresh"]);
      const page = await visitor.fetch("/_.data");
      assert.match(page.text, /"ada"/);
      await world.advance(301);
      const payment = await visitor.fetch("/payment.data");
      assert.deepEqual([payment.status, payment.headers["x-remix-response"]], [401, "yes"]);
      await world.advance(60);
      await world.setDown(true);
      const outage = await visitor.fetch("/_.data");
      assert.deepEqual([outage.status, outage.headers["retry-after"], outage.setCookies], [503, "5", []]);
    });
  },
});
