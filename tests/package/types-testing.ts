// What must compile and what must not, with edge-session/testing: checked by `tsc --strict --noEmit`, never run.

import { Sessions, type Outcome } from "edge-session";
import { testWorld, type TestBrowser, type TestStore } from "edge-session/testing";
import { Hono } from "hono";

interface Shop {
  views: number;
  cart: string[];
}

const worker = {
  fetch: (request: Request, env: object, ctx: { waitUntil(promise: Promise<unknown>): void }) =>
    Sessions.fromEnv<Shop>(env).handle(request, ctx, (session) => new Response(`${session.get("views")}`)),
};

export async function tests() {
  const world = testWorld<Shop>({ idleTimeout: 900, secret: ["one", "two"], onEvent: ({ event }) => console.log(event) });
  const browser: TestBrowser<Shop> = world.browser();
  const response: Response = await browser.fetch(worker, "/cart", { method: "POST", body: "apple", cf: { country: "NL" } });
  await browser.fetch(worker.fetch);
  await browser.fetch(new Hono());
  const views: number | undefined = await browser.handle((session) => session.get("views"));
  const outcome: Outcome = await browser.handle(async (session, request) => (request.url ? session.outcome : "new"));
  const same: Response = browser.receive(response);
  const request: Request = browser.request("/cart");
  const store: TestStore = world.store;
  store.rateLimitPuts(1);
  const [key]: string[] = store.keys;
  const puts: number = store.operations.puts;
  world.advance({ hours: 1, minutes: 30 });
  browser.goTo(world.elsewhere({ cookieAge: 60 }));
  const cookie: string = browser.cookies["__Host-session"];
  world.env.DB = {};
  new Sessions(store, { secret: "", clock: { now: () => 0, sleep: (_milliseconds: number) => undefined } });
  // @ts-expect-error a unit is missing
  world.advance(60);
  // @ts-expect-error no such unit
  world.advance({ weeks: 1 });
  // @ts-expect-error another shape
  await browser.handle((session) => session.set("view", 1));
  // @ts-expect-error a world has its own clock
  testWorld({ clock: Date });
  // @ts-expect-error no such setting
  testWorld({ idleTimeOut: 900 });
  // @ts-expect-error not a Worker
  await browser.fetch("worker");
  return [views, outcome, same, request, key, puts, cookie];
}
