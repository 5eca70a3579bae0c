// examples/h3, by Nitro's build, and h3 alone.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { sessionMiddleware } from "../../pkg/h3.js";
import { world } from "../package/support/world.mjs";
import { testShop } from "./support/shop.mjs";
import { EXAMPLES } from "./support/world.mjs";

testShop("h3", {
  build: { outputs: [".output/", ".nitro/", ".wrangler/"], config: ".output/server/wrangler.json", assets: ".output/public" },
  paths: { twice: "/account" },
  more() {
    test("no header of event.res lets a cache keep an answer with a session", async () => {
      const { H3, HTTPResponse, handleCors, redirect } = await import(
        pathToFileURL(createRequire(join(EXAMPLES, "h3", "package.json")).resolve("h3"))
      );
      const use = (event) => {
        handleCors(event, { origin: ["https://shop.example"] });
        for (const headers of [event.res.headers, event.res.errHeaders]) headers.set("cache-control", "public, max-age=60");
        event.context.session.set("a", 1);
      };
      const answers = {
        "/text": () => "text",
        "/json": () => ({ a: 1 }),
        "/response": () => new Response("text", { headers: { vary: "accept" } }),
        "/not-found": () => new Response("text", { status: 404 }),
        "/http-response": () => new HTTPResponse("text"),
        "/redirect": () => redirect("/", 303),
        "/immutable": () => Response.redirect("https://example.com/", 303),
      };
      const app = new H3().use(sessionMiddleware({ sessions: world().sessions }));
      for (const [path, answer] of Object.entries(answers)) {
        app.get(path, (event) => {
          use(event);
          return answer();
        });
      }
      for (const path in answers) {
        const { headers } = await app.request(path, { headers: { origin: "https://shop.example" } });
        const names = ["cache-control", "vary", "access-control-allow-origin"];
        const expected = ["no-store", "origin, Cookie", "https://shop.example"];
        assert.deepEqual(names.map((name) => headers.get(name)), expected, path);
        assert.equal(headers.getSetCookie().length, 2, path);
      }
    });
  },
});
