// The two Workers of docs/service-binding.md in one workerd: a front without wasm, and this
// repository's Worker behind its service binding.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, before, beforeEach, test } from "node:test";

import { inRoot } from "../../scripts/run.mjs";
import { startWorker } from "../workerd/support/harness.mjs";
import { FRESH, COOKIE, workerDirectory } from "../workerd/support/sessions.mjs";

let world;

before(async () => {
  world = await startWorker({
    directory: await workerDirectory(),
    beside: { front: { directory: inRoot("examples", "service-binding", "src"), services: { SESSION: "main" } } },
  });
});
beforeEach(() => world.reset());
after(() => world?.stop());

const browser = () => world.browser({ isolate: "front" });
const post = (visitor, path, options) => visitor.fetch(path, { method: "POST", ...options });

test("the front holds no wasm and no secret", () => {
  assert.deepEqual(readdirSync(inRoot("examples", "service-binding", "src")).sort(), ["index.js", "session.js"]);
});

test("a session is counted for each browser, by cookies that the front relays", async () => {
  const [ada, bob] = [browser(), browser()];
  const views = async (visitor) => (await visitor.fetch("/")).text;
  assert.deepEqual([await views(ada), await views(ada), await views(bob), await views(ada)], ["1", "2", "1", "3"]);
  assert.deepEqual(ada.names.toSorted(), [COOKIE, FRESH]);
  assert.deepEqual(ada.refused, []);
});

test("each cookie is set once, whatever was asked in between", async () => {
  const answer = await browser().fetch("/");
  const names = answer.setCookies.map((line) => line.split("=")[0]);
  assert.deepEqual(names.toSorted(), [COOKIE, FRESH]);
  assert.deepEqual([answer.headers["cache-control"], answer.headers.vary], ["no-store", "Cookie"]);
});

test("what one request has set the next of the same page sees, and makes no second session", async () => {
  const visitor = browser();
  await post(visitor, "/cart", { body: "apple" });
  await post(visitor, "/cart", { body: "pear" });
  await visitor.fetch("/");
  const { json } = await world.fetch("/api/session", { headers: { Cookie: visitor.cookieHeader("/") } });
  assert.deepEqual(json.data, { cart: ["apple", "pear"], views: 1 });
  assert.equal(Object.keys(await world.storage.dump()).filter((key) => key.startsWith("s.")).length, 1);
});

test("a logout is one, and takes the cookies away", async () => {
  const visitor = browser();
  await visitor.fetch("/");
  const cookies = visitor.cookieHeader("/");
  assert.equal((await post(visitor, "/logout")).text, "bye");
  assert.deepEqual(visitor.names, []);
  const { json } = await world.fetch("/api/session", { headers: { Cookie: cookies } });
  assert.deepEqual(json.data, {});
});

test("a form of another site changes nothing", async () => {
  const visitor = browser();
  await visitor.fetch("/");
  const foreign = { from: "cross-site", headers: { Origin: "https://other.example" } };
  const refused = await post(visitor, "/cart", { body: "worm", ...foreign });
  assert.deepEqual([refused.status, refused.json.code, refused.setCookies], [403, "forbidden", []]);
  assert.equal((await post(visitor, "/cart", { body: "pear" })).status, 303);
  // A link from another site shows the page, and the visit counts.
  assert.equal((await visitor.fetch("/", { from: "cross-site" })).text, "2");
});

test("cookies of one name and different places all reach the browser, and a key that is no path is refused", async () => {
  const { RemoteSession } = await import("../../examples/service-binding/src/session.js");
  const lines = ["s=; Path=/; Max-Age=0", "s=; Path=/; Partitioned; Max-Age=0", "s=1; Path=/; Secure", "s=2; Path=/; Secure"];
  const asked = [];
  const worker = {
    fetch: async (url) => {
      asked.push(url.pathname);
      return new Response("1", { headers: lines.map((line) => ["set-cookie", line]) });
    },
  };
  const session = new RemoteSession(worker, new Request("https://shop.example/"));
  await session.get("views");
  assert.deepEqual(session.answer(new Response()).headers.getSetCookie(), [lines[3], lines[1]]);
  for (const key of ["", ".", ".."]) await assert.rejects(session.remove(key), /cannot be part of a URL/);
  assert.deepEqual(asked, ["/api/session/data/views"]);
});

test("what the session refuses is answered as it says", async () => {
  const visitor = browser();
  await visitor.fetch("/");
  await world.advance(60);
  await world.storage.addFault({ status: 503 });
  const answer = await visitor.fetch("/");
  assert.deepEqual([answer.status, answer.json.code], [503, "unavailable"]);
  assert.ok(Number(answer.headers["retry-after"]) > 0);
  assert.deepEqual(answer.setCookies, []);
});
