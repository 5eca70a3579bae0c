// examples/better-auth: better-auth itself in workerd, with its sessions, their lists and its rate limits
// in Durable Objects.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import { EXAMPLES, faultsOfTypes, files, start } from "./support/world.mjs";

const COOKIE = "better-auth.session_token";
const DAY = 86_400;
let world;
let people = 0;

before(async () => {
  world = await start("better-auth", {
    outputs: ["public/main.js", ".wrangler/"],
    config: "wrangler.jsonc",
    assets: "public",
    entry: "entry-better-auth.mjs",
    bindings: {
      durable_objects: { bindings: [{ name: "SESSION_OBJECTS", class_name: "SessionObject" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["SessionObject"] }],
      d1_databases: [{ binding: "DB", database_name: "users", database_id: "test" }],
      vars: { BETTER_AUTH_SECRET: randomBytes(32).toString("base64url") },
    },
  });
  const text = readFileSync(join(EXAMPLES, "better-auth", "migrations", "0001_users.sql"), "utf8");
  const statements = text.replace(/^--.*$/gm, "").split(";");
  await world.tell({ sql: statements.map((one) => one.trim()).filter(Boolean) });
});
after(() => world?.stop());
beforeEach(async () => {
  await world.setDown(false);
  // Past every rate limit of the test before.
  await world.advance(60);
});

const PASSWORD = "correct horse battery";
const newUser = () => `user-${(people += 1)}@example.com`;
const post = (browser, path, fields = {}) => browser.send("POST", `/api/auth${path}`, fields);
const signUp = (browser, email) => post(browser, "/sign-up/email", { name: "Ada", email, password: PASSWORD });
const signIn = (browser, email, password = PASSWORD) => post(browser, "/sign-in/email", { email, password });
const sessionOf = async (browser) => {
  const { status, text } = await browser.fetch("/api/auth/get-session");
  assert.equal(status, 200, text);
  return JSON.parse(text);
};
const devicesOf = async (browser) => (await browser.fetch("/api/auth/list-sessions")).json;

async function signedIn(email, how = signIn) {
  const browser = world.browser();
  const answer = await how(browser, email);
  assert.equal(answer.status, 200, answer.text);
  assert.ok(browser.get(COOKIE), "the session has its cookie");
  return browser;
}

test("sign up, sign out and sign in", async (t) => {
  t.diagnostic(`better-auth: ${world.size}`);
  const email = newUser();
  assert.equal((await world.browser().fetch("/account")).status, 401);
  const browser = await signedIn(email, signUp);
  assert.deepEqual((await browser.fetch("/account")).json, { name: "Ada", email });

  const copy = browser.clone();
  assert.deepEqual((await post(browser, "/sign-out")).json, { success: true });
  assert.equal(browser.get(COOKIE), undefined);
  assert.equal((await browser.fetch("/account")).status, 401);
  assert.equal(await sessionOf(copy), null, "a copied cookie is signed out too");

  assert.equal((await signIn(browser, email, "something else")).status, 401);
  const again = await signedIn(email);
  assert.equal((await sessionOf(again)).user.email, email);
});

test("a session is refreshed once a day and ends a week after it was used last", async () => {
  const browser = await signedIn(newUser(), signUp);
  const first = (await sessionOf(browser)).session;
  await world.advance(DAY + 60);
  const second = (await sessionOf(browser)).session;
  assert.equal(second.token, first.token);
  assert.ok(new Date(second.expiresAt) - new Date(first.expiresAt) >= DAY * 1000, `${first.expiresAt} to ${second.expiresAt}`);
  // The first end has passed; the second is in the storage, too.
  await world.advance(6 * DAY + 3600);
  assert.equal((await sessionOf(browser)).session.token, first.token);
  const copy = browser.clone();
  await world.advance(7 * DAY + 60);
  assert.equal(await sessionOf(copy), null);
});

test("a user sees their devices, ends another one, the others, and all", async () => {
  const email = newUser();
  const [here, there, elsewhere] = [await signedIn(email, signUp), await signedIn(email), await signedIn(email)];
  assert.equal((await devicesOf(here)).length, 3);

  const { token } = (await sessionOf(elsewhere)).session;
  assert.deepEqual((await post(here, "/revoke-session", { token })).json, { status: true });
  assert.equal(await sessionOf(elsewhere), null);
  assert.equal((await devicesOf(here)).length, 2);

  assert.deepEqual((await post(here, "/revoke-other-sessions")).json, { status: true });
  assert.equal(await sessionOf(there), null);
  assert.equal((await sessionOf(here)).user.email, email);

  const [copy, third] = [here.clone(), await signedIn(email)];
  assert.deepEqual((await post(third, "/revoke-sessions")).json, { status: true });
  for (const browser of [copy, third]) assert.equal(await sessionOf(browser), null);
});

test("sign-ins in parallel have a session each, and one call ends them all", async () => {
  const email = newUser();
  const first = await signedIn(email, signUp);
  const browsers = await Promise.all([1, 2, 3].map(() => signedIn(email)));
  for (const browser of browsers) assert.equal((await sessionOf(browser)).user.email, email);
  // better-auth's list may lack one of them, but not the instant of the revocation.
  assert.deepEqual((await post(first, "/revoke-sessions")).json, { status: true });
  for (const browser of [first, ...browsers]) assert.equal(await sessionOf(browser), null);
});

test("of 20 parallel sign-ins the rate limit lets exactly 3 through, and 3 more when it ends", async () => {
  const email = newUser();
  await signedIn(email, signUp);
  const statuses = async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => signIn(world.browser(), email, "something else")));
    return answers.map(({ status }) => status).toSorted();
  };
  const expected = [...Array.from({ length: 3 }, () => 401), ...Array.from({ length: 17 }, () => 429)];
  assert.deepEqual(await statuses(), expected);
  assert.deepEqual((await signIn(world.browser(), email)).headers["x-retry-after"], "10");
  await world.advance(11);
  assert.deepEqual(await statuses(), expected);
});

test("a request of a signed-in user makes two requests to objects, and one of a visitor none", async () => {
  const browser = await signedIn(newUser(), signUp);
  const { counts } = await world.counted(() => browser.fetch("/account"));
  // The session, and the instant of the last revocation. The rate limit is for /api/auth alone.
  assert.deepEqual(counts, { requests: 1, objects: 2 });
  assert.deepEqual((await world.counted(() => world.browser().fetch("/account"))).counts, { requests: 1, objects: 0 });
  assert.deepEqual((await world.counted(() => browser.fetch("/"))).counts, { requests: 0, objects: 0 });
});

test("an outage is an error, and nobody is signed out by it", async () => {
  const email = newUser();
  const browser = await signedIn(email, signUp);
  await world.setDown(true);
  const { status, setCookies } = await browser.fetch("/account");
  assert.deepEqual([status, setCookies], [500, []]);
  await world.setDown(false);
  assert.deepEqual((await browser.fetch("/account")).json, { name: "Ada", email });
});

test("the types fit better-auth's", async () => {
  assert.equal(await faultsOfTypes("better-auth"), "");
});

test("nothing of the package is in what browsers get", () => {
  const all = files(world.assets);
  assert.deepEqual(all, ["index.html", "main.js"]);
  const found = all.filter((file) => /edge-session\/|secondaryStorage|SessionObject|idFromName|\0asm/.test(readFileSync(join(world.assets, file), "latin1")));
  assert.deepEqual(found, []);
});
