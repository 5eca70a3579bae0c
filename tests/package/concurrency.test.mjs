// Parallel calls on one session run one after the other, and none fails because of that.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MemoryConnector, Sessions } from "../../pkg/node.js";
import { SECRET, code, world } from "./support/world.mjs";

/** A connector whose operations end when the test lets them. */
function gated() {
  const memory = new MemoryConnector();
  let waiting = [];
  let open = true;
  const connector = {};
  for (const name of ["read", "put", "delete", "list"]) {
    connector[name] = async (...args) => {
      if (!open) await new Promise((resolve) => waiting.push(resolve));
      return memory[name](...args);
    };
  }
  return {
    connector,
    memory,
    close: () => (open = false),
    release: () => {
      open = true;
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}

test("every step at once", async () => {
  const { browser, memory } = world();
  await browser.ask((session) => session.set("a", 1));
  const session = await browser.load();
  const steps = [];
  for (let i = 0; i < 50; i++) {
    session.set(`k${i}`, i);
    steps.push(session.save(), session.load(), session.load({ fresh: true }), session.exists(), session.exists(session.sessionKey));
  }
  await Promise.all(steps);
  assert.equal(session.size, 51);
  assert.ok(memory.operations.puts >= 2);
  assert.equal((await browser.load()).size >= 1, true);
});

test("while a save is under way, everything else works", async () => {
  const gate = gated();
  const sessions = new Sessions(gate.connector, { secret: SECRET });
  const session = await sessions.load();
  session.set("a", 1).set("list", [1]);
  gate.close();
  const saving = session.save();
  await Promise.resolve();
  // Reads, changes and decisions meanwhile.
  assert.equal(session.get("a"), 1);
  assert.equal(session.version, 0);
  assert.equal(session.owner, null);
  session.set("b", 2);
  session.data.list.push(2);
  session.remove("a");
  session.data.c = 3;
  session.setExpiry(600);
  session.cycleKey();
  session.bind("ada");
  assert.equal(typeof session.modified, "boolean");
  assert.equal(typeof session.needsUpdate(), "boolean");
  assert.ok(session.getExpiryDate() instanceof Date);
  const loading = session.load({ fresh: true });
  gate.release();
  await saving;
  await loading;
  assert.deepEqual([...session], [["list", [1, 2]], ["b", 2], ["c", 3]]);
  assert.equal(session.owner, "ada");
  const response = await sessions.commit(session, new Response());
  const cookie = response.headers.getSetCookie().map((one) => one.split(";")[0]).join("; ");
  const again = await sessions.load(cookie);
  assert.deepEqual([...again], [["list", [1, 2]], ["b", 2], ["c", 3]]);
  assert.equal(again.owner, "ada");
});

test("a commit waits for the steps before it", async () => {
  const gate = gated();
  const sessions = new Sessions(gate.connector, { secret: SECRET });
  const response = await sessions.handle(new Request("https://x/"), null, (session) => {
    session.set("a", 1);
    session.save(); // not awaited
    session.set("b", 2);
    return new Response();
  });
  const cookie = response.headers.getSetCookie().map((one) => one.split(";")[0]).join("; ");
  assert.deepEqual([...(await sessions.load(cookie))], [["a", 1], ["b", 2]]);
});

test("steps after the commit are refused, those before it end", async () => {
  const gate = gated();
  const sessions = new Sessions(gate.connector, { secret: SECRET });
  const session = await sessions.load();
  session.set("a", 1);
  gate.close();
  const committing = sessions.commit(session, new Response());
  const late = session.save();
  gate.release();
  await committing;
  await assert.rejects(late, code("committed"));
});

test("a step that fails does not stop the next", async () => {
  const memory = new MemoryConnector();
  let fail = true;
  const connector = {
    read: (...args) => memory.read(...args),
    async put(...args) {
      if (fail) throw Object.assign(new Error("full"), { code: "quota" });
      return memory.put(...args);
    },
    delete: (...args) => memory.delete(...args),
  };
  const session = await new Sessions(connector, { secret: SECRET }).load();
  session.set("a", 1);
  const first = session.save();
  const second = session.save();
  await assert.rejects(first, code("quota"));
  await assert.rejects(second, code("quota"));
  fail = false;
  await session.save();
  assert.equal(session.version, 1);
});

test("an intent that fails during a step is reported by the next step", async () => {
  const gate = gated();
  const sessions = new Sessions(gate.connector, { secret: SECRET });
  const session = await sessions.load();
  session.set("a", 1);
  gate.close();
  const saving = session.save();
  await Promise.resolve();
  session.bind("x".repeat(2000));
  gate.release();
  await saving;
  await assert.rejects(session.save(), code("invalid_value"));
  await session.save();
});

test("many requests at once, each with a session of its own", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("n", 0));
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) =>
      sessions.handle(browser.request(), null, async (session) => {
        await new Promise(setImmediate);
        session.set(`k${i}`, i);
        return new Response();
      }),
    ),
  );
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal((await browser.load()).size, 201, "disjoint keys all survive within one isolate");
});

test("the order of calls is the order of effects, awaited or not", async () => {
  const stories = {
    "save, login, set": (it, done) => [
      it.set("a", 2) && done(it.save()),
      it.bind("bob", { keep: false }),
      it.set("x", 1),
    ],
    "save, login, set what is kept": (it, done) => [done(it.save()), it.bind("ada"), it.set("x", 1), it.remove("a")],
    "login, save, login of another": (it, done) => [it.bind("ada"), done(it.save()), it.bind("bob"), it.set("b", 3)],
    "flush, set": (it, done) => [it.set("gone", 1), done(it.flush({ keep: ["a"] })), it.set("x", 1)],
    "destroy, login, set": (it, done) => [it.set("gone", 1), done(it.destroy()), it.bind("bob"), it.set("x", 1)],
    "save, create, set": (it, done) => [done(it.save()), it.create(), it.set("x", 1)],
    "set after a save, and one more save": (it, done) => [it.set("b", 1), done(it.save()), it.set("c", 2), done(it.save()), it.set("b", 3)],
    "set to be left unsaved": (it, done) => [done(it.save()), it.set("x", 1), (it.modified = false)],
    "an end": (it, done) => [it.set("b", 1), done(it.save()), it.setExpiry(60), it.cycleKey()],
  };
  for (const [name, story] of Object.entries(stories)) {
    const results = [];
    for (const waits of [true, false]) {
      const { browser, sessions } = world({ settings: { isolateCacheTtl: 0 } });
      await browser.ask((session) => session.set("a", 1));
      const before = await browser.load();
      const session = await browser.load();
      // Code after an `await` runs when the step has ended.
      const steps = [];
      if (waits) {
        const calls = [];
        const recorder = new Proxy(session, {
          get: (target, key) => (...args) => (calls.push(() => target[key](...args)), recorder),
          set: (target, key, value) => (calls.push(() => (target[key] = value)), true),
        });
        story(recorder, (step) => step);
        for (const call of calls) await call();
      } else {
        story(session, (step) => steps.push(step));
        await Promise.all(steps);
      }
      browser.keep(await sessions.commit(session, new Response()));
      const after = await browser.load();
      results.push({
        outcome: after.outcome,
        owner: after.owner,
        isSameKey: after.sessionKey === before.sessionKey,
        age: after.getExpiryAge(),
        version: after.version,
        data: [...after],
        shown: [...session],
      });
    }
    assert.deepEqual(results[1], results[0], name);
  }
});

test("a change inside a value is stored by the save after it, whatever is decided before that runs", async () => {
  const ways = {
    create: (it) => it.create(),
    remove: (it) => void it.remove("list"),
    clear: (it) => it.clear(),
    flush: (it) => it.flush(),
  };
  for (const [name, way] of Object.entries(ways)) {
    const { browser, memory } = world();
    await browser.ask((session) => session.update({ a: 1, list: [1] }));
    const session = await browser.load();
    memory.resetOperations();
    session.remove("a");
    const steps = [session.save()];
    session.get("list").push(2);
    steps.push(session.save(), way(session));
    await Promise.all(steps);
    assert.equal(memory.operations.puts, name === "flush" ? 4 : 2, `${name}: two saves, and two markers of a logout`);
    if (name === "create") assert.deepEqual([...(await browser.load())], [["list", [1, 2]]]);
  }
});

test("create after a login starts empty, awaited or not", async () => {
  for (const waits of [true, false]) {
    const { sessions } = world();
    const session = await sessions.load();
    session.set("a", 1);
    const step = session.exists();
    if (waits) await step;
    session.bind("ada");
    session.create();
    assert.equal(session.setDefault("a", 2), 2);
    await session.save();
    assert.deepEqual([session.owner, ...session], [null, ["a", 2]]);
  }
});

test("tokens of a form are given out while a save is under way", async () => {
  const gate = gated();
  const sessions = new Sessions(gate.connector, { secret: SECRET });
  const session = await sessions.load();
  session.set("a", 1);
  await session.save();
  session.set("a", 2);
  gate.close();
  const saving = session.save();
  const token = session.csrfToken();
  session.verifyCsrf(token);
  session.cycleKey();
  assert.throws(() => session.csrfToken(), code("unavailable"), "of which key is not known yet");
  gate.release();
  await saving;
  await session.save();
  assert.throws(() => session.verifyCsrf(token), code("invalid_value"));
});

test("while a save is under way, modified tells what comes after it", async () => {
  const gate = gated();
  const sessions = new Sessions(gate.connector, { secret: SECRET });
  const session = await sessions.load();
  session.set("a", 1).set("list", [1]);
  gate.close();
  const saving = session.save();
  assert.equal(session.modified, false);
  session.get("list").push(2);
  assert.equal(session.modified, true);
  const again = session.save();
  assert.equal(session.modified, false);
  session.cycleKey();
  assert.equal(session.modified, true);
  gate.release();
  await Promise.all([saving, again]);
  await session.exists();
  assert.equal(session.modified, true, "the new key waits for the commit");
});

test("a logout is carried out though what was decided before it is refused", async () => {
  for (const logout of [(it) => it.destroy(), (it) => it.flush({ keep: ["a"] }), (it) => it.delete()]) {
    const gate = gated();
    const sessions = new Sessions(gate.connector, { secret: SECRET });
    const first = await sessions.load();
    first.set("a", 1);
    const response = await sessions.commit(first, new Response());
    const cookie = response.headers.getSetCookie().map((one) => one.split(";")[0]).join("; ");
    const session = await sessions.load(cookie);
    gate.close();
    session.set("b", 1);
    const saving = session.save();
    session.bind(""); // refused once the save has ended
    const ending = logout(session);
    gate.release();
    await saving;
    await assert.rejects(ending, code("invalid_value"));
    assert.equal((await sessions.load(cookie)).outcome, "revoked");
  }
});

test("a load that nobody awaits may fail", async (t) => {
  const { browser, memory } = world({ settings: { isolateCacheTtl: 0 } });
  await browser.ask((session) => session.set("a", 1));
  const session = await browser.load();
  memory.read = () => Promise.reject(new Error("down"));
  const unhandled = [];
  const note = (reason) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  session.load({ fresh: true });
  await assert.rejects(session.load({ fresh: true }), code("unavailable"));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(unhandled, []);
});

test("a change inside a value of a session that has ended goes into no other session", async () => {
  const { browser, memory, sessions, clock } = world({ settings: { seal: false, isolateCacheTtl: 0 } });
  await browser.ask((session) => {
    session.bind("ada");
    session.set("a", { of: "ada" });
  });
  const session = await browser.load();
  const value = session.get("a");
  clock.advance(60_000);
  await sessions.revokeAll("ada");
  const loading = session.load({ fresh: true });
  session.bind("ada");
  value.of = "nobody";
  const saving = session.save();
  session.remove("a");
  assert.equal(await loading, "revoked");
  await saving;
  const { keys } = await memory.list();
  const texts = await memory.read(keys.map(({ name }) => name));
  assert.ok(texts.every((text) => !text.includes("nobody")));
});

test("the owner is the one that the calls before it lead to", async () => {
  const { browser } = world();
  await browser.ask(async (session) => {
    session.set("a", 1);
    const saved = session.save();
    session.bind("ada");
    assert.equal(session.owner, "ada");
    const flushed = session.flush();
    assert.equal(session.owner, null);
    session.bind("bob");
    assert.equal(session.owner, "bob");
    await Promise.all([saved, flushed]);
    assert.equal(session.owner, "bob");
  });
  assert.equal((await browser.load()).owner, "bob");
});

test("a change after a destroy that is not awaited is refused, as after one that is", async () => {
  const { browser } = world();
  await browser.ask((session) => session.set("a", 1));
  const { response } = await browser.visit((session) => {
    const done = session.destroy();
    assert.throws(() => session.set("b", 1), code("destroyed"));
    assert.throws(() => session.remove("a"), code("destroyed"));
    return done;
  });
  assert.equal(response.status, 200);
});

test("a CSRF token is not given while the session ends", async () => {
  const { browser } = world();
  await browser.ask((session) => session.set("a", 1));
  const session = await browser.load();
  const flushed = session.flush();
  assert.throws(() => session.csrfToken(), code("unavailable"));
  await flushed;
  assert.equal(typeof session.csrfToken(), "string");
});

test("the owner is the one that a finished load has found, although another call is unfinished", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.bind("ada"));
  await sessions.handleLazy(browser.request(), null, async (session) => {
    const loaded = session.load();
    const saved = session.save();
    await loaded;
    assert.equal(session.owner, "ada");
    await saved;
    return new Response();
  });
});

test("a logout that fails does not keep another from being tried", async () => {
  const { browser, memory, clock } = world();
  await browser.ask((session) => session.bind("ada"));
  const other = browser.clone();
  await other.ask((session) => session.bind("ada"));
  const key = (await other.load()).sessionKey;
  let fails = 2; // the two markers
  const connector = { kind: "memory" };
  for (const name of ["read", "put", "delete", "list"]) connector[name] = (...args) => memory[name](...args);
  connector.put = async (...args) => {
    if ((fails -= 1) >= 0) throw Object.assign(new Error("spent"), { code: "quota" });
    return memory.put(...args);
  };
  const sessions = new Sessions(connector, { secret: SECRET, clock });
  const session = await sessions.load(browser.request());
  const ends = await Promise.allSettled([session.destroy(), session.delete(key)]);
  assert.equal(ends[0].status, "rejected");
  assert.equal((await other.load({ fresh: true })).outcome, "revoked");
});
