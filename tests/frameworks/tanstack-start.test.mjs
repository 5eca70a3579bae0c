// examples/tanstack-start, by TanStack Start's own build.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { testShop } from "./support/shop.mjs";
import { EXAMPLES, files } from "./support/world.mjs";

testShop("tanstack-start", {
  build: {
    outputs: ["dist/", ".tanstack/", ".wrangler/", "src/routeTree.gen.ts"],
    config: "dist/server/wrangler.json",
    assets: "dist/client",
  },
  // Server routes have no page.
  formsHavePages: false,
  more(shop) {
    test("server functions that the browser calls have the session; the framework answers their errors with 200", async () => {
      const { world, login } = shop;
      const server = join(EXAMPLES, "tanstack-start", "dist", "server");
      const code = files(server).filter((file) => file.endsWith(".js")).map((file) => readFileSync(join(server, file), "utf8"));
      const ids = [...new Set(code.join("\n").match(/\b[0-9a-f]{64}\b/g))];
      assert.equal(ids.length, 5);
      const visitor = world.browser();
      await login(visitor, "ada");
      const headers = { "x-tsr-serverFn": "true", Accept: "application/json" };
      const ask = (id) => visitor.fetch(`/_serverFn/${id}`, { headers });
      const found = [];
      for (const id of ids) found.push((await ask(id)).text);
      assert.equal(found.filter((text) => text.includes("Welcome, ada")).length, 1);
      await world.advance(60);
      await world.setDown(true);
      for (const id of ids) {
        const { status, text, setCookies } = await ask(id);
        assert.deepEqual([status, setCookies], [200, []]);
        assert.match(text, /"error".*session store/);
      }
    });
  },
});
