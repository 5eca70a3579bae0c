// The cookie jar of edge-session/testing, which is also that of these tests, against the rules of RFC 6265bis.

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseSetCookie } from "../../js/cookie-jar.js";
import { Browser } from "./support/browser.mjs";

const HOST = "Path=/; Secure; HttpOnly; SameSite=Lax";

function jar() {
  const clock = { now: 1_000_000 };
  const browser = new Browser("http://localhost:1", { now: () => clock.now });
  return { browser, clock };
}

test("a Set-Cookie line is read into name, value and attributes", () => {
  assert.deepEqual(parseSetCookie("__Host-a=b=c; Max-Age=5; path=/; Secure"), {
    name: "__Host-a",
    value: "b=c",
    attributes: { "max-age": "5", path: "/", secure: true },
  });
});

test("cookies are sent back, in the order they were made", () => {
  const { browser } = jar();
  browser.store(`__Host-a=1; ${HOST}`);
  browser.store(`b=2; Path=/`);
  browser.store(`__Host-a=3; ${HOST}`);
  browser.store(`c=4; Path=/api`);
  assert.equal(browser.cookieHeader("/"), "__Host-a=3; b=2");
  assert.equal(browser.cookieHeader("/api/session?x"), "c=4; __Host-a=3; b=2");
  assert.equal(browser.cookieHeader("/apix"), "__Host-a=3; b=2");
});

test("Max-Age ends a cookie, and Max-Age=0 takes it away", () => {
  const { browser, clock } = jar();
  browser.store(`__Host-a=1; Max-Age=10; ${HOST}`);
  clock.now += 9_999;
  assert.deepEqual(browser.names, ["__Host-a"]);
  clock.now += 1;
  assert.deepEqual(browser.names, []);

  browser.store(`__Host-a=1; ${HOST}`);
  browser.store(`__Host-a=; Max-Age=0; ${HOST}`);
  assert.deepEqual(browser.names, []);

  browser.store(`a=1; Path=/; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT`);
  assert.deepEqual(browser.names, ["a"], "Max-Age goes before Expires");
  browser.store(`a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT`);
  assert.deepEqual(browser.names, []);
});

test("closing the browser takes the cookies without an end", () => {
  const { browser } = jar();
  browser.store(`__Host-a=1; ${HOST}`);
  browser.store(`__Host-b=1; Max-Age=10; ${HOST}`);
  browser.close();
  assert.deepEqual(browser.names, ["__Host-b"]);
});

test("what a browser refuses is refused and told", () => {
  for (const line of [
    "__Host-a=1; Path=/",
    "__Host-a=1; Secure",
    "__Host-a=1; Path=/api; Secure",
    "__Host-a=1; Path=/; Secure; Domain=localhost",
    "__Secure-a=1; Path=/",
    "a=1; SameSite=None",
    "a=1; Domain=example.com",
    `a=${"x".repeat(4096)}`,
  ]) {
    const { browser } = jar();
    browser.store(line);
    assert.deepEqual(browser.names, [], line);
    assert.equal(browser.refused.length, 1, line);
  }
});

test("another site's request carries Lax cookies on a navigation only, Strict ones never", () => {
  const { browser } = jar();
  browser.store(`lax=1; Path=/; SameSite=Lax`);
  browser.store(`strict=1; Path=/; SameSite=Strict`);
  browser.store(`none=1; Path=/; SameSite=None; Secure`);
  const header = (method, from) => browser.cookieHeader("/", { method, from });
  assert.equal(header("POST", "same-origin"), "lax=1; strict=1; none=1");
  assert.equal(header("GET", "cross-site"), "lax=1; none=1");
  assert.equal(header("POST", "cross-site"), "none=1");
});

test("a copy of a browser goes its own way", () => {
  const { browser } = jar();
  browser.store(`a=1; Path=/`);
  const thief = browser.clone();
  browser.store(`a=2; Path=/`);
  assert.equal(thief.cookieHeader("/"), "a=1");
});
