// examples/tanstack-start, by TanStack Start's own build.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { sessionServer } from "../../pkg/tanstack-start.js";
import { world } from "../package/support/world.mjs";
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
      const ask = async (id) => {
        const [got, posted] = ["GET", "POST"].map((method) => () => visitor.fetch(`/_serverFn/${id}`, { method, headers }));
        const answer = await got();
        return answer.status === 405 ? posted() : answer;
      };
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

    /** Requests whose middleware is `sessionServer`, with Start's own code for what its helpers are asked for. */
    async function start(options) {
      const file = join(EXAMPLES, "node_modules", "@tanstack", "start-server-core", "dist", "esm", "internal-request-response.js");
      const helpers = await import(pathToFileURL(file));
      const server = sessionServer(options);
      const visit = (request, handler) =>
        helpers.withStartRequest(async (_, __, event) => {
          const next = async ({ context }) => ({ context, response: helpers.reconcileResponse(await handler(context.session), event) });
          return helpers.reconcileResponse(await server({ request, context: {}, next }), event);
        })(request);
      return { helpers, visit };
    }

    test("Start's helpers for headers do not let a cache keep an answer with a session, or drop its cookies", async () => {
      const { helpers, visit } = await start({ sessions: world().sessions });
      const upstream = new Headers({ "cache-control": "public", vary: "accept" });
      upstream.append("set-cookie", "theme=dark");
      const cases = {
        "setResponseHeader": () => helpers.setResponseHeader("cache-control", "public, max-age=60"),
        "setResponseHeader of Vary": () => helpers.setResponseHeader("vary", "accept"),
        "appendResponseHeader": () => helpers.appendResponseHeader("vary", "accept"),
        "removeResponseHeader": () => ["cache-control", "vary", "set-cookie"].forEach((name) => helpers.removeResponseHeader(name)),
        "setResponseHeaders": () => helpers.setResponseHeaders(upstream),
        "clearResponseHeaders": () => helpers.clearResponseHeaders(),
        "setCookie": () => helpers.setCookie("theme", "dark"),
      };
      for (const [name, ask] of Object.entries(cases)) {
        const request = new Request("https://example.com/");
        const { headers } = await visit(request, (session) => {
          session.set("a", 1);
          ask();
          return new Response("page");
        });
        const vary = /setResponseHeaders|Vary|append/.test(name) ? "accept, Cookie" : "Cookie";
        assert.deepEqual([headers.get("cache-control"), headers.get("vary")], ["no-store", vary], name);
        const cookies = headers.getSetCookie().map((line) => line.split("=")[0]);
        const own = /setResponseHeaders|setCookie/.test(name) ? ["theme"] : [];
        assert.deepEqual(cookies.toSorted(), ["__Host-session", "__Host-session-fresh", ...own], name);
      }
      const other = await visit(new Request("https://example.com/"), () => {
        helpers.setResponseHeaders(upstream);
        return new Response("page");
      });
      assert.deepEqual([other.headers.get("cache-control"), other.headers.get("vary")], ["public", "accept"]);
    });

    test("Start's helper for the status does not hide that the session could not be stored", async () => {
      const { sessions, memory } = world();
      memory.put = () => Promise.reject(new Error("down"));
      const { helpers, visit } = await start({ sessions });
      const { status, headers } = await visit(new Request("https://example.com/"), (session) => {
        session.set("a", 1);
        helpers.setResponseStatus(201);
        helpers.setResponseHeader("content-type", "text/plain");
        return new Response("made");
      });
      assert.deepEqual([status, headers.get("content-type")], [503, "application/problem+json"]);
    });
  },
});
