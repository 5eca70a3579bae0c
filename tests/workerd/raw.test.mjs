// Bytes that no HTTP client would send, over a bare socket to the built Worker. Each has a specified outcome,
// costs no more storage operations than a normal request, and sets no cookie.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, test } from "node:test";

import { COOKIE, NO_OPERATIONS, browserWith, startSessions } from "./support/sessions.mjs";

let world;
/** The values of this session's key cookie and of another's. */
let mine;
let theirs;

before(async () => {
  // The isolate's memory is off, so every load uses the storage, where it is counted.
  world = await startSessions({ vars: { SESSION_ISOLATE_CACHE_TTL: "0" } });
  await world.freeze();
  [mine, theirs] = await Promise.all(
    ["mine", "theirs"].map(async (who) => (await browserWith(world, { who })).get(COOKIE).value),
  );
});
after(() => world.stop());

/** Sends these header lines (text or bytes) unchanged. Returns the status, the raw head, and JSON if any. */
function send(lines, { method = "GET", path = "/api/session", body = "" } = {}) {
  const head = [`${method} ${path} HTTP/1.1`, "Host: x", "Connection: close", `Content-Length: ${body.length}`];
  const bytes = [...head, ...lines].map((line) => Buffer.concat([Buffer.from(line), Buffer.from("\r\n")]));
  const socket = connect(new URL(world.origin()).port, "127.0.0.1");
  return new Promise((resolve, reject) => {
    const received = [];
    socket.on("data", (data) => received.push(data));
    // A server that refuses the head may close the connection before it has read all of it.
    socket.on("error", (error) => (received.length ? undefined : reject(error)));
    socket.on("close", () => {
      const text = Buffer.concat(received).toString();
      const [head, content = ""] = text.split("\r\n\r\n");
      const json = content.startsWith("{") ? JSON.parse(content) : undefined;
      resolve({ status: Number(head.split(" ")[1]), head, json });
    });
    socket.write(Buffer.concat([...bytes, Buffer.from(`\r\n${body}`)]));
  });
}

/** A Cookie line from texts and bytes. */
const cookie = (...parts) =>
  Buffer.concat([Buffer.from("Cookie: "), ...parts.map((part) => Buffer.from(part))]);
const key = (value = mine) => `${COOKIE}=${value}`;
const forged = () => mine.slice(0, 40) + (mine[40] === "A" ? "B" : "A") + mine.slice(41);

/** Checks that the request counts as one without a session, by default without operations, and sets no cookie. */
async function expectNobody(lines, outcome, operations = NO_OPERATIONS) {
  const { result, counts } = await world.storage.counted(() => send(lines));
  assert.equal(result.status, 200, result.head);
  assert.deepEqual([result.json.outcome, result.json.data], [outcome, {}]);
  assert.doesNotMatch(result.head, /^set-cookie:/im);
  assert.deepEqual(counts, operations);
}

async function expectMine(lines) {
  const { result, counts } = await world.storage.counted(() => send(lines));
  assert.equal(result.status, 200, result.head);
  assert.deepEqual([result.json.outcome, result.json.data], ["loaded", { who: "mine" }]);
  assert.doesNotMatch(result.head, /^set-cookie:/im);
  assert.deepEqual(counts, { ...NO_OPERATIONS, reads: 1, keysRead: 2 });
}

/** Checks a response that the runtime gives before the Worker runs. */
async function expectRefused(lines, status) {
  const { result, counts } = await world.storage.counted(() => send(lines));
  assert.equal(result.status, status, result.head);
  assert.deepEqual(counts, NO_OPERATIONS);
}

test("raw_one_cookie_header_is_the_session", () => expectMine([cookie(key())]));

test("raw_two_cookie_headers_are_joined_by_a_comma_and_never_split_there", async () => {
  // The runtime joins fields of one name with ", ": the second name becomes part of a value.
  await expectNobody(["Cookie: b=2", cookie(key())], "new");
  await expectNobody([cookie(key()), "Cookie: b=2"], "rejected");
  await expectNobody([cookie(key()), cookie(key())], "rejected");
  // A browser may send one field with a comma in a value.
  await expectMine([cookie(`a=x,y; ${key()}; b=z`)]);
});

test("raw_cookies_over_64_KiB_are_not_looked_at", async () => {
  const padded = (kib) => cookie(`pad=${"x".repeat(kib * 1024)}; ${key()}`);
  await expectMine([padded(60)]);
  for (const kib of [64, 128]) {
    await expectNobody([padded(kib)], "rejected");
    await expectNobody([cookie(`${key()}; pad=${"x".repeat(kib * 1024)}`)], "rejected");
  }
});

test("raw_more_than_200_cookies_are_not_looked_at", async () => {
  const many = (count) => `${Array.from({ length: count }, (_, i) => `c${i}=1`).join("; ")}; `;
  await expectMine([cookie(many(199), key())]);
  await expectNobody([cookie(many(200), key())], "rejected");
  await expectMine([cookie("; ".repeat(10_000), key())]);
});

test("raw_a_header_that_is_too_large_mints_nothing_over_the_session", async () => {
  const line = cookie(`pad=${"x".repeat(128 * 1024)}; ${key()}`);
  const put = { method: "PUT", path: "/api/session/data/a", body: "1" };
  const { result, counts } = await world.storage.counted(() => send([line], put));
  assert.equal(result.status, 200);
  assert.doesNotMatch(result.head, /^set-cookie:/im);
  assert.deepEqual(counts, NO_OPERATIONS);
});

test("raw_a_header_of_1_MiB_is_refused_by_the_runtime", () =>
  expectRefused([cookie(`pad=${"x".repeat(1024 * 1024)}; ${key()}`)], 431));

test("raw_invalid_UTF8_elsewhere_hides_nothing", async () => {
  for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]]) {
    await expectMine([cookie("a=", Buffer.from(bytes), `; ${key()}`)]);
    await expectMine([cookie(Buffer.from(bytes), `=b; ${key()}`)]);
    await expectMine([cookie(`${key()}; a=`, Buffer.from(bytes))]);
  }
});

test("raw_invalid_UTF8_in_our_value_is_no_cookie_of_ours", async () => {
  await expectNobody([cookie(`${key()}`, Buffer.of(0xff))], "rejected");
  await expectNobody([cookie(`${COOKIE}=`, Buffer.of(0x80), mine)], "rejected");
});

test("raw_only_space_and_tab_are_trimmed_off_a_name", async () => {
  for (const before of [" ", "\t", "a=1; \t "]) await expectMine([cookie(before, key())]);
  for (const bytes of [
    [0xc2, 0xa0], // U+00A0
    [0xa0], // half of it
    [0xc2, 0x85], // U+0085
    [0xe2, 0x80, 0x80], // U+2000
    [0xe3, 0x80, 0x80], // U+3000
    [0xef, 0xbb, 0xbf], // U+FEFF
    [0x0b],
    [0x0c],
    [0x1f],
    [0x7f],
  ]) {
    const white = Buffer.from(bytes);
    await expectNobody([cookie(white, key())], "new");
    await expectNobody([cookie("a=1; ", white, key())], "new");
    await expectNobody([cookie(COOKIE, white, `=${mine}`)], "new");
    // A real cookie beside it still identifies the session.
    await expectMine([cookie("a=1; ", white, `${key(theirs)}; ${key()}`)]);
  }
});

test("raw_NUL_CR_and_folded_lines_are_refused_by_the_runtime", async () => {
  await expectRefused([cookie("a=", Buffer.of(0), `; ${key()}`)], 400);
  await expectRefused([cookie(key(), Buffer.of(0))], 400);
  await expectRefused([cookie("a=1;", Buffer.of(0x0d), key())], 400);
  await expectRefused([cookie("a=1;\r\n ", key())], 400);
});

test("raw_a_quoted_value_is_no_cookie_of_ours", async () => {
  await expectNobody([cookie(`${COOKIE}="${mine}"`)], "rejected");
  await expectNobody([cookie(`$Version=1; ${COOKIE}="${mine}"; $Path="/"`)], "rejected");
  // Quotes do not hide a semicolon: the text in them contains an ordinary cookie.
  await expectMine([cookie(`a="x; ${key()}; b=y"`)]);
  await expectNobody([cookie(`a="x; ${key()}"`)], "rejected");
});

test("raw_names_are_not_decoded_or_folded", async () => {
  for (const name of ["__host-session", "__HOST-SESSION", "__%48ost-session", "__Host-session%20", "=__Host-session"]) {
    await expectNobody([cookie(`${name}=${mine}`)], "new");
  }
  await expectMine([`cookie: ${key()}`]);
});

test("raw_of_duplicates_the_authentic_one_counts_wherever_it_stands", async () => {
  await expectMine([cookie(`${key()}; ${key(forged())}`)]);
  await expectMine([cookie(`${key(forged())}; ${key()}`)]);
  await expectMine([cookie(`${key("")}; ${COOKIE}; ${key()}; ${key("x")}`)]);
  await expectMine([cookie(`${key()}; a=b; ${key()}`)]);
});

test("raw_of_two_authentic_duplicates_none_is_chosen", async () => {
  // Both are judged, in one bulk read.
  const oneRead = { ...NO_OPERATIONS, reads: 1, keysRead: 6 };
  await expectNobody([cookie(`${key()}; ${key(theirs)}`)], "ambiguous", oneRead);
  await expectNobody([cookie(`${key(theirs)}; ${key()}`)], "ambiguous", oneRead);
});

test("raw_a_session_id_is_read_from_cookies_alone", async () => {
  const { head } = await send([`X-Session: ${mine}`, `Authorization: Bearer ${mine}`], {
    path: `/api/session?${COOKIE}=${mine}&session=${mine}`,
  });
  assert.doesNotMatch(head, /set-cookie/i);
  const { result, counts } = await world.storage.counted(() =>
    send([`X-Session: ${mine}`, `Authorization: Bearer ${mine}`], { path: `/api/session?${COOKIE}=${mine}` }),
  );
  assert.equal(result.json.outcome, "new");
  assert.deepEqual(counts, NO_OPERATIONS);
});
