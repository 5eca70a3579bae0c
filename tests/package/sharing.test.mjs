// The warning about an object that is part of the data of several sessions. It appears once per isolate, so
// each test has its own process.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

/** The warnings of a process that runs `body`, in which `visit` is a request of a new visitor. */
function warnings(body, settings = {}) {
  const support = JSON.stringify(fileURLToPath(new URL("support/world.mjs", import.meta.url)));
  const script = `
    const { world } = await import(${support});
    const told = [];
    console.warn = (line) => told.push(line);
    const visit = (page) => world({ settings: ${JSON.stringify(settings)} }).browser.ask(page);
    ${body}
    console.log(JSON.stringify(told));
  `;
  return JSON.parse(execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }));
}

const ASSIGNED = `
  const EMPTY = { items: [] };
  for (const item of ["a", "b", "c"]) await visit((session) => void (session.data.cart ??= EMPTY).items.push(item));
`;

test("an object that is assigned in the data of several sessions causes one warning, with its path", () => {
  const told = warnings(ASSIGNED);
  assert.equal(told.length, 1);
  assert.match(told[0], /^edge-session: cart in a session's data is an object that was already in another session's data/);
  assert.match(told[0], /session\.setDefault/);
});

test("it is found inside other values, and if it comes from another session", () => {
  const within = warnings(`
    const TAGS = ["x"];
    for (let i = 0; i < 2; i++) await visit((session) => void (session.data.prefs = { lists: [TAGS] }));
  `);
  assert.match(within.join(), /^edge-session: prefs\.lists\[0\] in/);
  const stolen = warnings(`
    let kept;
    await visit((session) => void (kept = session.setDefault("cart", [1])));
    await visit((session) => void (session.data.cart = kept));
  `);
  assert.match(stolen.join(), /^edge-session: cart in/);
});

test("what is copied, frozen throughout or of one session is not told of", () => {
  const told = warnings(`
    const EMPTY = { items: [] };
    const FROZEN = Object.freeze({ items: Object.freeze([]) });
    for (let i = 0; i < 3; i++) {
      await visit(async (session) => {
        session.set("a", EMPTY);
        session.setDefault("b", EMPTY).items.push(i);
        session.update({ c: EMPTY });
        session.data.d = FROZEN;
        session.data.e = session.data.f = { n: i };
        await session.save();
        session.data.e.n = 7;
      });
    }
  `);
  assert.deepEqual(told, []);
});

test("one that is frozen only at the top causes a warning, but not with disableWarnings", () => {
  const shallow = ASSIGNED.replace("{ items: [] }", "Object.freeze({ items: [] })");
  assert.equal(warnings(shallow).length, 1);
  assert.deepEqual(warnings(ASSIGNED, { disableWarnings: true }), []);
});
