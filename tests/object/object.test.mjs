// One suite for both implementations of the Durable Object, in workerd, on disk.

import assert from "node:assert/strict";
import { after, before, beforeEach, suite, test } from "node:test";

import { AT_THE_END, DAY, HOUR, languages, put, row, startObjects } from "./support/world.mjs";

// Alarms use the machine's clock. None may fire before its test triggers it.
const START = Date.UTC(2100, 0, 1);
const END = START + 7 * DAY;

for (const language of languages) {
  suite(`the object in ${language}`, () => {
    let world;
    before(async () => {
      world = await startObjects(language);
    });
    after(() => world?.stop());
    beforeEach(() => world.freeze(START));

    test("a row is read as it was put", async () => {
      const object = world.object();
      const metadata = 'm"\\ü€😀';
      assert.deepEqual(await object.transact([], [put("a", END), put("b", END, { metadata, value: "", revision: "é" })]), { done: true });
      assert.deepEqual(await object.read("b", "a", "none"), [row("b", END, { metadata, value: "", revision: "é" }), row("a", END), null]);
      assert.deepEqual(await object.read(), []);
      // A reader in another language may distinguish 1.0 from 1.
      assert.match((await object.ask("read", { keys: ["a"] })).text, new RegExp(`"expiresAt":${END}[,}]`));
    });

    test("the class as a Worker exports it answers the same", async () => {
      const object = world.object({ bare: true });
      assert.deepEqual(await object.transact([{ absent: "a" }], [put("a", END)]), { done: true });
      assert.deepEqual(await object.read("a"), [row("a", END)]);
      assert.deepEqual(await object.list(""), { keys: [{ name: "a" }] });
    });

    test("an object's rows are not another's", async () => {
      const [one, other] = [world.object(), world.object()];
      await one.put("a");
      assert.deepEqual(await other.read("a"), [null]);
    });

    test("writes happen where every check holds", async () => {
      const object = world.object();
      await object.transact([{ absent: "a" }, { absent: "b" }], [put("a", END, { revision: "1" }), put("b", END, { revision: "2" })]);
      const checks = [{ revision: ["a", "1"] }, { absent: "c" }, { revision: ["b", "2"] }];
      assert.deepEqual(await object.transact(checks, [put("c", END)]), { done: true });
      assert.deepEqual(await object.read("c"), [row("c", END)]);
    });

    test("where one check fails nothing is written, and the rows of all come back as they are", async () => {
      const object = world.object();
      await object.transact([], [put("a", END), put("b", END, { metadata: "m" })]);
      const cases = [
        [[{ absent: "a" }], [row("a", END)]],
        [[{ revision: ["a", "2"] }], [row("a", END)]],
        [[{ revision: ["none", "1"] }], [null]],
        [
          [{ revision: ["a", "1"] }, { absent: "none" }, { absent: "b" }],
          [row("a", END), null, row("b", END, { metadata: "m" })],
        ],
      ];
      const before = await object.state();
      for (const [checks, conflict] of cases) {
        assert.deepEqual(await object.transact(checks, [put("a", END, { value: "lost" }), put("d", END)]), { conflict });
      }
      assert.deepEqual(await object.state(), before);
    });

    test("a transaction without writes only checks, and makes nothing", async () => {
      const object = world.object();
      assert.deepEqual(await object.transact([{ absent: "a" }], []), { done: true });
      assert.deepEqual(await object.transact([], [{ replace: { prefix: "", except: [], value: "x", revision: "2" } }]), { done: true });
      assert.deepEqual((await object.state()).tables, []);
    });

    test("writes of one transaction happen in their order", async () => {
      const object = world.object();
      await object.transact([], [
        put("a", END, { value: "1" }),
        put("a", END, { value: "2" }),
        { replace: { prefix: "a", except: [], value: "x", revision: "2" } },
        put("ab", END),
      ]);
      assert.deepEqual(await object.read("a", "ab"), [{ value: "x", revision: "2", expiresAt: END }, row("ab", END)]);
    });

    test("replace takes every row under its prefix but the exceptions, and keeps their ends", async () => {
      const object = world.object();
      const names = ["s.a", "s.ab.1", "s.ab.2", "s.b", "s.b.1", "s.c", "s", "t"];
      await object.transact([], names.map((name, i) => put(name, END + i, { metadata: name })));
      const replace = { prefix: "s.", except: ["s.ab.", "s.b."], value: "x", revision: "9" };
      assert.deepEqual(await object.transact([{ revision: ["s.a", "1"] }], [{ replace }]), { done: true });
      const replaced = ["s.a", "s.b", "s.c"];
      assert.deepEqual(
        await object.read(...names),
        names.map((name, i) =>
          replaced.includes(name)
            ? { value: "x", revision: "9", expiresAt: END + i }
            : row(name, END + i, { metadata: name }),
        ),
      );
    });

    test("replace takes tombstones too, which keep their age, and no row that has expired", async () => {
      const object = world.object();
      await object.transact([], [put("r", END, { dead: true }), put("live", END), put("over", START + 1)]);
      await world.advance(HOUR);
      await object.transact([], [{ replace: { prefix: "", except: [], value: "x", revision: "2", dead: true } }]);
      const seen = (await object.state()).rows.map(({ key, value, dead_since }) => [key, value, dead_since]);
      assert.deepEqual(seen, [["live", "x", START + HOUR], ["over", "value of over", null], ["r", "x", START]]);
      await object.transact([], [{ replace: { prefix: "r", except: [], value: "back", revision: "3" } }, put("live", END)]);
      assert.deepEqual((await object.state()).rows.map(({ dead_since }) => dead_since), [null, null, null]);
    });

    test("replace takes forty exceptions, the most that a statement has parameters for", async () => {
      const object = world.object();
      const names = Array.from({ length: 41 }, (_, i) => `s.${String(i).padStart(2, "0")}`);
      await object.transact([], names.map((name) => put(name, END)));
      const replace = { prefix: "s.", except: names.slice(0, 40), value: "x", revision: "2" };
      assert.deepEqual(await object.transact([], [{ replace }]), { done: true });
      assert.deepEqual((await object.read(...names)).map(({ value }) => value === "x"), names.map((_, i) => i === 40));
      assert.equal((await object.ask("transact", { checks: [], writes: [{ replace: { ...replace, except: names } }] })).status, 400);
    });

    test("a list is in order, by pages of a thousand", async () => {
      const object = world.object();
      await object.transact([], [put("a", END), put("z", END), put("fill.0", END, { metadata: "m" }), put("fill", END)]);
      await object.look(`fill?from=1&to=2100&expiresAt=${END}`);
      const pages = [];
      let cursor;
      do {
        const page = await object.list("fill.", cursor);
        pages.push(page.keys);
        cursor = page.cursor;
      } while (cursor);
      assert.deepEqual(pages.map((page) => page.length), [1000, 1000, 100]);
      const names = pages.flat().map(({ name }) => name);
      assert.deepEqual(names, ["fill.0", ...Array.from({ length: 2099 }, (_, i) => `fill.${String(i + 1).padStart(6, "0")}`)]);
      assert.deepEqual(pages[0].slice(0, 2), [{ name: "fill.0", metadata: "m" }, { name: "fill.000001" }]);
    });

    test("a list has the last page without a cursor, also where that is full", async () => {
      const object = world.object();
      await object.put("first");
      await object.look(`fill?from=0&to=1000&expiresAt=${END}`);
      assert.equal((await object.list("fill.")).keys.length, 1000);
      assert.equal((await object.list("fill.")).cursor, undefined);
      assert.deepEqual(await object.list("none."), { keys: [] });
      assert.deepEqual(await world.object().list(""), { keys: [] });
      assert.equal((await object.list("fill.", "a")).keys[0].name, "fill.000000");
    });

    test("no row is served past its end, by the object's own clock", async () => {
      const object = world.object();
      await object.transact([], [put("a", START + 1000), put("b", END)]);
      await world.advance(999);
      assert.deepEqual(await object.read("a"), [row("a", START + 1000)]);
      await world.advance(1);
      assert.deepEqual(await object.read("a"), [null]);
      assert.deepEqual(await object.list(""), { keys: [{ name: "b" }] });
      assert.deepEqual(await object.transact([{ revision: ["a", "1"] }], [put("c", END)]), { conflict: [null] });
      assert.deepEqual(await object.transact([{ absent: "a" }], [put("a", END, { value: "new" })]), { done: true });
      assert.deepEqual(await object.read("a", "c"), [row("a", END, { value: "new" }), null]);
    });

    test("an exception at any statement of a transaction undoes all of it, the alarm too", async () => {
      const writes = [put("b", END), { replace: { prefix: "", except: ["b"], value: "x", revision: "2" } }, put("c", START + HOUR)];
      const checks = [{ revision: ["a", "1"] }, { absent: "b" }];
      const object = world.object();
      await object.put("a");
      const { statements } = await world.metered(async () => world.object().transact([{ absent: "a" }], [put("a", END)]));
      assert.ok(statements >= 3);
      const before = await object.state();
      let failures = 0;
      for (let failAt = 1; ; failAt += 1) {
        const { result } = await world.metered(() => object.ask("transact", { checks, writes }), failAt);
        await world.control("/meter/reset", 0);
        if (result.status === 200) break;
        failures += 1;
        assert.equal(result.status, 599, result.text);
        assert.deepEqual(await object.state(), before, `statement ${failAt}`);
      }
      assert.ok(failures >= 6, `${failures} statements`);
      const { rows, alarm } = await object.state();
      assert.deepEqual(rows.map(({ key, value }) => [key, value]), [["a", "x"], ["b", "value of b"], ["c", "value of c"]]);
      assert.equal(alarm, START + HOUR);
    });

    test("after an exception in the very first write the object is like a new one", async () => {
      const object = world.object();
      for (const failAt of [1, 2, 3, 4, AT_THE_END]) {
        const { result } = await world.metered(() => object.ask("transact", { checks: [], writes: [put("a", END)] }), failAt);
        assert.equal(result.status, 599);
        await world.control("/meter/reset", 0);
        const { tables, alarm } = await object.state();
        assert.deepEqual([tables, alarm], [[], null]);
      }
      // The object must not remember undone work either: the alarm is set this time.
      await object.transact([], [put("a", END)]);
      const { rows, alarm } = await object.state();
      assert.deepEqual([rows.length, alarm], [1, END]);
    });

    test("what each operation costs, in rows read and written", async () => {
      const object = world.object();
      const cost = async (action) => {
        const { read, written, alarmsSet } = await world.metered(action);
        return { read, written, alarmsSet };
      };
      const save = (revision) => () => object.transact([{ revision: ["a", revision] }], [put("a", END, { revision: `${revision}1` })]);
      assert.deepEqual(await cost(() => object.read("a")), { read: 0, written: 0, alarmsSet: 0 }, "a load that finds no object");
      // Two of them are for creating the table, once per object.
      assert.deepEqual(await cost(() => object.transact([{ absent: "a" }], [put("a", END)])), { read: 3, written: 3, alarmsSet: 1 }, "the first save");
      assert.deepEqual(await cost(() => object.read("a")), { read: 1, written: 0, alarmsSet: 0 }, "a load");
      assert.deepEqual(await cost(() => object.read("none")), { read: 0, written: 0, alarmsSet: 0 }, "a load that finds no row");
      assert.deepEqual(await cost(save("1")), { read: 1, written: 1, alarmsSet: 0 }, "a save");
      assert.deepEqual(await cost(save("2")), { read: 1, written: 0, alarmsSet: 0 }, "a conflict");
      assert.deepEqual(await cost(() => object.transact([{ absent: "b" }], [put("b", END)])), { read: 2, written: 1, alarmsSet: 0 }, "a second session");
      assert.deepEqual(await cost(() => object.list("")), { read: 2, written: 0, alarmsSet: 0 }, "a list");
      const replace = { prefix: "", except: [], value: "x", revision: "9", dead: true };
      assert.deepEqual(await cost(() => object.transact([], [{ replace }])), { read: 2, written: 2, alarmsSet: 0 }, "log out everywhere");
    });

    test("reads, conflicts and refusals leave no byte on disk and no alarm", async () => {
      const object = world.object();
      const refused = await object.ask("transact", { checks: [], writes: [put("a", "soon")] });
      assert.equal(refused.status, 400);
      await object.read("a");
      await object.list("");
      await object.transact([{ revision: ["a", "1"] }], [put("a", END)]);
      const { id, tables, alarm } = await object.state();
      assert.deepEqual([tables, alarm], [[], null]);
      // workerd creates an empty database for every object that it runs.
      const untouched = (await world.object().state()).id;
      assert.deepEqual(world.files(id), world.files(untouched));
      assert.equal(world.files(id).log, 0);
    });

    test("after the last row has expired nothing is left, in memory or on disk", async () => {
      const object = world.object();
      await object.transact([], [put("a", START + HOUR), put("b", START + 2 * HOUR)]);
      const { id } = await object.state();
      assert.ok(world.files(id).log > 0);
      await world.advance(HOUR);
      await object.look("alarm/run");
      const { rows, alarm } = await object.state();
      assert.deepEqual([rows.map(({ key }) => key), alarm], [["b"], START + 2 * HOUR]);
      await world.advance(HOUR);
      await object.look("alarm/run");
      assert.deepEqual(await object.state(), { id, tables: [], rows: [], alarm: null, alarms: 2 });
      const untouched = (await world.object().state()).id;
      assert.deepEqual(world.files(id), world.files(untouched));
      // The instance that cleaned up must know that it has to create the table again.
      assert.deepEqual(await object.read("a", "b"), [null, null]);
      await object.transact([{ absent: "a" }], [put("a", END)]);
      assert.deepEqual([await object.read("a"), (await object.state()).alarm], [[row("a", END)], END]);
    });

    test("a row that is put while the object cleans up stays", async () => {
      const object = world.object();
      await object.transact([], [put("a", START + HOUR)]);
      await world.advance(HOUR);
      const body = encodeURIComponent(JSON.stringify({ checks: [{ absent: "a" }], writes: [put("a", END)] }));
      assert.deepEqual(await object.look(`alarm/interrupted?body=${body}`), { done: true });
      assert.deepEqual([await object.read("a"), (await object.state()).alarm], [[row("a", END)], END]);
    });

    test("the runtime's alarm cleans up", { timeout: 60_000 }, async () => {
      const object = world.object();
      // Long past for the runtime, which fires such alarms at once. The clock advances with each: the
      // runtime sometimes drops an alarm that its own handler sets to the time it is firing for.
      const past = Date.UTC(2020, 0, 1);
      await world.freeze(past, { atAlarm: 2 * HOUR });
      await object.transact([], [put("a", past + HOUR), put("b", past + 3 * HOUR)]);
      await object.look("alarm/wait?count=2");
      const { tables, alarm, alarms } = await object.state();
      assert.deepEqual([tables, alarm, alarms], [[], null, 2]);
    });

    test("one alarm: set if there is none, if it has passed, and if it is an hour late", async () => {
      const object = world.object();
      const alarmAfter = async (expiresAt) => {
        const { alarmsSet } = await world.metered(() => object.transact([], [put(`k${expiresAt}`, expiresAt)]));
        return [alarmsSet, (await object.state()).alarm];
      };
      const far = START + 30 * DAY;
      assert.deepEqual(await alarmAfter(far), [1, far]);
      assert.deepEqual(await alarmAfter(far + DAY), [0, far]);
      assert.deepEqual(await alarmAfter(far - HOUR), [0, far]);
      assert.deepEqual(await alarmAfter(far - HOUR - 1), [1, far - HOUR - 1]);
      await world.freeze(far);
      // The alarm did not fire, and expired rows are still there, so it is set to now.
      assert.deepEqual((await alarmAfter(far + 9 * DAY))[0], 1);
    });

    test("the latest instant that a row may have is one that an alarm can be set to", async () => {
      const object = world.object();
      const latest = 9_000_000_000_000;
      await object.transact([], [put("a", latest)]);
      assert.deepEqual([(await object.state()).alarm, await object.read("a")], [latest, [row("a", latest)]]);
    });

    test("an alarm that went off early, with nothing left to keep, is set anew by the next put", async () => {
      const object = world.object();
      await object.transact([], [put("a", START + 2 * HOUR)]);
      // An hour late is acceptable, so the alarm stays after the end of the only row.
      await object.transact([], [put("a", START + HOUR)]);
      await world.advance(HOUR);
      await object.look("alarm/run");
      await object.transact([], [put("b", END)]);
      assert.equal((await object.state()).alarm, END);
    });

    test("an instance that has just been made keeps the alarm of the one before", async () => {
      const object = world.object();
      const far = START + 300 * DAY;
      await object.transact([], [put("a", far)]);
      await object.at("/test/abort");
      const { alarmsSet } = await world.metered(() => object.transact([], [put("b", far)]));
      assert.equal(alarmsSet, 0);
      await object.at("/test/abort");
      await object.look("alarm/drop");
      await object.transact([], [put("c", far)]);
      assert.equal((await object.state()).alarm, far, "an alarm that was dropped is set again");
    });

    test("a tombstone older than a day makes room", async () => {
      const object = world.object();
      await object.transact([], [put("first", END)]);
      await object.look(`fill?from=0&to=9000&expiresAt=${END}`);
      await object.look(`fill?from=9000&to=9500&expiresAt=${END}&dead=${START - DAY - 1}`);
      await object.look(`fill?from=9500&to=9999&expiresAt=${END}&dead=${START - DAY}`);
      const { written } = await world.metered(() => object.transact([{ absent: "login" }], [put("login", END)]));
      assert.equal(written, 501);
      assert.equal((await object.state()).rows.length, 9501);
      assert.deepEqual(await object.read("login", "fill.009000", "fill.009500"), [row("login", END), null, { value: "v", revision: "r", expiresAt: END }]);
    });

    test("where no tombstone is older than a day the oldest thousand make room", async () => {
      const object = world.object();
      await object.transact([], [put("first", END)]);
      await object.look(`fill?from=0&to=7000&expiresAt=${END}&dead=${START - HOUR}`);
      await object.look(`fill?from=7000&to=9999&expiresAt=${END}&dead=${START - 2 * HOUR}`);
      assert.deepEqual(await object.transact([{ absent: "login" }], [put("login", END)]), { done: true });
      const { rows } = await object.state();
      assert.equal(rows.length, 9001);
      assert.equal(rows.filter(({ dead_since }) => dead_since === START - 2 * HOUR).length, 1999);
    });

    test("an object that is full of live rows can still end them", async () => {
      const end = (prefix) => ({ replace: { prefix, except: [], value: "2 x", revision: "9", dead: true } });
      const moved = put("m", END);
      for (const [what, checks, writes] of [
        ["all of an owner's sessions", [{ absent: "e" }], [end("fill."), put("e", END)]],
        ["one of them, for a login", [{ absent: "login" }], [put("login", END), end("fill.000000"), put("e", END)]],
        ["one that moves", [{ revision: ["first", "1"] }, { absent: "m" }], [put("first", END, { dead: true }), moved]],
        ["one that is not there yet", [], [put("late", END, { dead: true })]],
      ]) {
        const object = world.object();
        await object.put("first");
        await object.look(`fill?from=0&to=9999&expiresAt=${END}`);
        assert.deepEqual(await object.transact(checks, writes), { done: true }, what);
        const { rows } = await object.state();
        assert.ok(writes.every(({ put }) => !put || rows.some(({ key }) => key === put.key)), what);
      }
    });

    test("ten thousand rows are the most: the next is refused, and a save is not", async () => {
      const object = world.object();
      await object.put("first");
      await object.look(`fill?from=0&to=9999&expiresAt=${END}`);
      const before = await object.state();
      const refused = await object.ask("transact", { checks: [{ absent: "login" }], writes: [put("login", END), put("fill.000000", END)] });
      assert.deepEqual([refused.status, refused.json.error], [413, "too_large"]);
      assert.match(refused.json.message, /10000 rows/);
      assert.deepEqual(await object.state(), before);
      assert.deepEqual(await object.transact([{ revision: ["first", "1"] }], [put("first", END)]), { done: true });
      // Expired rows make room immediately.
      await world.freeze(END);
      assert.deepEqual(await object.transact([], [put("login", END + DAY)]), { done: true });
    });

    test("a request has at most a mebibyte", async () => {
      const object = world.object();
      const frame = JSON.stringify({ checks: [], writes: [put("a", END, { value: "" })] }).length;
      const sized = (bytes) => object.ask("transact", { checks: [], writes: [put("a", END, { value: "v".repeat(bytes - frame) })] });
      const over = await sized((1 << 20) + 1);
      assert.deepEqual([over.status, over.json.error], [413, "too_large"]);
      assert.match(over.json.message, /1048577 bytes/);
      assert.deepEqual((await object.state()).tables, []);
      assert.equal((await sized(1 << 20)).status, 200);
      assert.equal((await object.read("a"))[0].value.length, (1 << 20) - frame);
    });

    const refusals = {
      "an operation that is not known": ["/v1/delete", {}],
      "another version": ["/v2/read", { keys: [] }],
      "another path": ["/", { keys: [] }],
      "no JSON": ["/v1/read", "{"],
      "a body that is no object": ["/v1/read", "[]"],
      "an array for an object": ["/v1/read", [["a"]]],
      "an array for an object inside": ["/v1/transact", { checks: [], writes: [{ put: ["a", "v", "1", END] }] }],
      "a body that is nested deeply": ["/v1/read", `{"keys":${"[".repeat(50_000)}${"]".repeat(50_000)}}`],
      "a null for a check": ["/v1/transact", { checks: [null], writes: [] }],
      "a member too many": ["/v1/read", { keys: [], cacheTtl: 3 }],
      "a member too few": ["/v1/transact", { checks: [] }],
      "an empty key": ["/v1/read", { keys: [""] }],
      "a key that is no string": ["/v1/read", { keys: [1] }],
      "a key that is not ASCII": ["/v1/read", { keys: ["é"] }],
      "a control character in a key": ["/v1/read", { keys: ["a\u007f"] }],
      "a long key": ["/v1/read", { keys: ["k".repeat(513)] }],
      "201 keys": ["/v1/read", { keys: Array(201).fill("a") }],
      "a check without a revision": ["/v1/transact", { checks: [{ revision: ["a"] }], writes: [] }],
      "a check of two kinds": ["/v1/transact", { checks: [{ absent: "a", revision: ["a", "1"] }], writes: [] }],
      "a check of no kind": ["/v1/transact", { checks: [{}], writes: [] }],
      "a write of an unknown kind": ["/v1/transact", { checks: [], writes: [put("a", END), { delete: { key: "a" } }] }],
      "a put with an unknown member": ["/v1/transact", { checks: [], writes: [put("a", END, { ttl: 3 })] }],
      "a value that is no string": ["/v1/transact", { checks: [], writes: [put("a", END, { value: null })] }],
      "half a character": ["/v1/transact", `{"checks":[],"writes":[{"put":{"key":"a","value":"\\ud800","revision":"1","expiresAt":${END}}}]}`],
      "an instant before 1970": ["/v1/transact", { checks: [], writes: [put("a", -1)] }],
      "an instant after 2255": ["/v1/transact", { checks: [], writes: [put("a", 9_000_000_000_001)] }],
      "a fraction of a millisecond": ["/v1/transact", { checks: [], writes: [put("a", 1.5)] }],
      "no number": ["/v1/transact", '{"checks":[],"writes":[{"put":{"key":"a","value":"","revision":"1","expiresAt":1e999}}]}'],
      "dead that is no boolean": ["/v1/transact", { checks: [], writes: [put("a", END, { dead: 1 })] }],
      "metadata that is null": ["/v1/transact", { checks: [], writes: [put("a", END, { metadata: null })] }],
      "a replace without exceptions": ["/v1/transact", { checks: [], writes: [{ replace: { prefix: "", value: "x", revision: "2" } }] }],
      "an empty cursor": ["/v1/list", { prefix: "", cursor: "" }],
    };
    test("whatever is not understood is refused, with words, and writes nothing", async () => {
      const object = world.object();
      for (const [what, [path, body]] of Object.entries(refusals)) {
        const { status, json } = await object.at(path, body);
        assert.deepEqual([status, json.error], [400, "bad_request"], `${what}: ${JSON.stringify(json)}`);
        assert.match(json.message, /\w{2} .{8}/, what);
      }
      const bytes = await object.at("/v1/read", Buffer.from([0x22, 0xff, 0x22]).toString("latin1"));
      assert.equal(bytes.status, 400);
      assert.equal((await object.get("/v1/read")).status, 400);
      assert.deepEqual((await object.state()).tables, []);
    });

    test("a refusal says where", async () => {
      const object = world.object();
      const { json } = await object.ask("transact", { checks: [{ absent: "a" }], writes: [put("a", END), put("b", "soon")] });
      assert.equal(json.message, "the body.writes[1].put.expiresAt must be a time in milliseconds");
      const unknown = await object.at("/v2/read", {});
      assert.match(unknown.json.message, /POST \/v2\/read/);
    });

    test("every row that was acknowledged is there after workerd was killed in the middle of writing", async () => {
      await world.freeze(START);
      const acknowledged = [];
      const objects = Array.from({ length: 4 }, () => world.object());
      const writers = objects.map(async (object) => {
        try {
          for (let i = 0; ; i += 1) {
            const names = [`a.${i}`, `b.${i}`];
            await object.transact(names.map((name) => ({ absent: name })), names.map((name) => put(name, END)));
            acknowledged.push({ object, names });
          }
        } catch {
          // After the kill, it is unknown whether the last one was stored.
        }
      });
      while (acknowledged.length < 200) await objects[0].read("a.0");
      await world.kill();
      await Promise.all(writers);
      await world.start();
      for (const { object, names } of acknowledged) assert.deepEqual(await object.read(...names), names.map((name) => row(name, END)));
      for (const object of objects) {
        const { rows } = await object.state();
        const of = (letter) => rows.filter(({ key }) => key.startsWith(letter)).map(({ key }) => key.slice(2));
        assert.deepEqual(of("a"), of("b"), "both rows of a transaction, or none");
      }
      console.log(`${language}: ${acknowledged.length} transactions acknowledged, ${acknowledged.length} found after kill -9`);
    });
  });
}
