// What must compile and what must not: checked by `tsc --strict --noEmit`, never run.

import {
  ManualClock,
  MemoryConnector,
  SessionError,
  SessionExpired,
  SessionStore,
  Sessions,
  init,
  type ErrorCode,
  type EventListener,
  type Outcome,
  type SessionConnector,
  type SessionEvent,
  type Stats,
} from "edge-session";
import { SessionObject } from "edge-session/durable-object";
import { sessionMiddleware, type SessionVariables } from "edge-session/hono";
import module from "edge-session/session.wasm";
import { Hono } from "hono";

interface Item {
  id: number;
  tags?: string[];
}
interface MySession {
  views: number;
  cart: Item[];
  note?: string;
  user: { name: string; admin: boolean } | null;
}

const secret = "";
const memory = new MemoryConnector({ clock: new ManualClock(0) });
const sessions = new Sessions<MySession>(memory, { secret, cookieSameSite: "Strict", idleTimeout: 60 });
new SessionStore(memory, { secret });
new SessionStore(MemoryConnector.strong(), { secret }, "a=b");
new SessionStore(undefined, { secret, storage: "memory" });
declare const request: Request;
declare const ctx: { waitUntil(promise: Promise<unknown>): void; passThroughOnException(): void };
declare const session: SessionStore<MySession>;

// --- what must compile

const listener: EventListener = ({ event, at, session, reason }: SessionEvent) => {
  if (event === "store_error") console.log(at satisfies number, session ?? "-", reason?.length);
};
new Sessions<MySession>(memory, { secret, onEvent: listener, serverTiming: true });
Sessions.fromEnv<MySession>({}, { onEvent: listener });
const stats: Stats = sessions.stats;
const rejected: number = stats.outcomes.rejected + stats.wasmBytes;
// @ts-expect-error: the counters are read-only
stats.requests = 0;
// @ts-expect-error: no such outcome
stats.outcomes.lost;

const answer: Promise<Response> = sessions.handle(request, ctx, async (session, same: Request) => {
  const views: number | undefined = session.get("views");
  const some: number = session.get("views", 0);
  const text: number | string = session.get("views", "none");
  const certain: Item[] = session.require("cart");
  const note: string = session.require("note");
  session.set("views", (views ?? 0) + 1).set("cart", [{ id: 1 }]).set("user", null);
  session.update({ views: 2, note: "x" }).update([["views", 3]]);
  session.data.cart?.push({ id: 2, tags: [] });
  session.data.note = undefined;
  const popped: number = session.pop("views");
  const either: number | null = session.pop("views", null);
  const [key, value] = session.popItem();
  if (key === "views") value satisfies number;
  for (const [key, value] of session) if (key === "cart") value satisfies Item[];
  const keys: ("views" | "cart" | "note" | "user")[] = [...session.keys()];
  session.flash("notice", { kind: "saved" });
  const flash: { kind: string } | undefined = session.takeFlash("notice");
  session.setExpiry(60);
  session.setExpiry(new Date());
  session.setExpiry({ idle: 60 });
  session.setExpiry({ end: new Date(), idle: null, browserClose: true });
  session.setExpiry({ end: 60, idle: undefined });
  session.setExpiry(null);
  session.bind("ada", { keep: false });
  await session.flush({ keep: ["cart"] });
  const outcome: Outcome = await session.load({ fresh: true });
  const id: string = SessionStore.generateSessionId();
  void [some, text, certain, note, popped, either, keys, flash, outcome, id, same.url, module];
  return new Response();
});
void answer;
sessions.handleLazy(request, null, () => new Response());
sessions.handle(request, undefined, () => new Response());

const any = new Sessions(memory, { secret });
any.handle(request, ctx, (session) => {
  session.set("anything", { deep: [1, 2] });
  const found: string = session.get("anything");
  return new Response(found);
});
Sessions.fromEnv<MySession>({}).stalenessBound satisfies number;
new Sessions(undefined, { secret, storage: "memory" });
new SessionStore<MySession>(memory, { secret }, "a=b").data.views satisfies number | undefined;

async function byHand() {
  const session = await sessions.load(request, { fresh: true });
  const response: Response = await sessions.commit(session, new Response(), ctx);
  const headers: Headers = await sessions.commitHeaders(session, { status: 200 });
  const { cookies, headers: rest } = await sessions.commitCookies(session, { status: 200, ctx });
  rest satisfies Headers;
  for (const { name, value, options } of cookies) {
    [name, value, options.path] satisfies string[];
    options.maxAge satisfies number | undefined;
    options.sameSite satisfies "lax" | "strict" | "none";
  }
  for (const { key, lastWritten } of await sessions.list("ada")) {
    if (lastWritten < new Date()) await sessions.revoke("ada", key);
  }
  await sessions.revokeAll("ada", { except: session.sessionKey });
  void [response, headers];
}
void byHand;

const own: SessionConnector = {
  async read(keys) {
    return keys.map(() => null);
  },
  async put(_key, _value, { ttl, metadata }) {
    void [ttl, metadata];
  },
  async delete() {},
};
new Sessions(own, { secret });

try {
  init(module);
} catch (error) {
  if (error instanceof SessionExpired) error.code satisfies "expired";
  if (error instanceof SessionError) {
    const code: ErrorCode = error.code;
    const answer: Response = error.toResponse();
    void [code, answer, error.cause, error.path];
  }
}

const app = new Hono<{ Variables: SessionVariables<MySession> }>();
app.use(sessionMiddleware<MySession>({ sessions }));
app.use("/lazy", sessionMiddleware({ lazy: true }));
app.get("/", (c) => {
  c.get("session").get("views") satisfies number | undefined;
  c.var.session.set("views", 1);
  // @ts-expect-error a value of another type
  c.get("session").set("views", "1");
  return c.text("");
});

// --- what must not

// @ts-expect-error a misspelt key
session.get("vews");
// @ts-expect-error a value of another type
session.set("views", "3");
// @ts-expect-error undefined is not a value
session.set("note", undefined);
// @ts-expect-error a part of another type
session.data.cart?.push({ id: "2" });
// @ts-expect-error a misspelt key
session.data.vews = 1;
// @ts-expect-error the type of a returned value
session.get("views")?.length;
// @ts-expect-error it may be absent
session.get("views").toFixed();
// @ts-expect-error a misspelt key
session.update({ vews: 1 });
// @ts-expect-error a misspelt key
session.remove("vews");
// @ts-expect-error a misspelt key
session.flush({ keep: ["vews"] });
// @ts-expect-error read-only
session.outcome = "loaded";
// @ts-expect-error a session key does not open a session
session.sessionKey = "x";
// @ts-expect-error not an expiry
session.setExpiry("tomorrow");
// @ts-expect-error not a part of an expiry
session.setExpiry({ seconds: 60 });
// @ts-expect-error a secret is needed
new Sessions(memory, {});
// @ts-expect-error no such setting
new Sessions(memory, { secret, cookieAges: 1 });
// @ts-expect-error SameSite has three values
new Sessions(memory, { secret, cookieSameSite: "lax" });
// @ts-expect-error a connector has a method delete
new Sessions({ read: async () => [], put: async () => {} }, { secret });
// @ts-expect-error a handler must return a response
sessions.handle(request, ctx, async () => {});
// @ts-expect-error a Date comes back as a string
new Sessions<{ when: Date }>(memory, { secret });
// @ts-expect-error a Map comes back empty
new Sessions<{ seen: Map<string, number> }>(memory, { secret });
// @ts-expect-error a function is not data
new Sessions<{ nested: { f: () => void } }>(memory, { secret });
// @ts-expect-error a BigInt is not JSON
new Sessions<{ big: bigint }>(memory, { secret });
// @ts-expect-error codes are a closed list
new SessionError("oops", "");

// A Worker exports the class; a subclass may add members.
class Mine extends SessionObject {
  override fetch(request: Request): Promise<Response> {
    return super.fetch(request);
  }
}
const mine: SessionObject = new Mine({}, {});
mine.alarm() satisfies Promise<void>;
// @ts-expect-error: it is called by requests, not by methods
mine.read(["key"]);
