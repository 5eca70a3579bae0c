// What must compile and what must not, with Hono: checked by `tsc --strict --noEmit`, never run.

import { SessionError, Sessions, type SessionStore } from "edge-session";
import { sessionMiddleware, type SessionVariables } from "edge-session/hono";
import { Hono, type Context } from "hono";

interface Shop {
  views: number;
  cart: { sku: string; n: number }[];
  note?: string;
}

const read = (session: SessionStore) => session.get("anything");
const total = (session: SessionStore<Shop>): number => session.get("cart", []).length;
declare const session: SessionStore<Shop>;
// A helper for sessions of any shape accepts one with a shape, given by a type or an interface.
read(session);
declare const typed: SessionStore<{ user: { name: string } | null }>;
read(typed);
// @ts-expect-error another shape
total(typed);

// --- an app that does not declare a shape

const plain = new Hono();
plain.use(sessionMiddleware());
plain.get("/", (c) => {
  c.get("session").set("anything", { deep: [1] });
  c.var.session.set("a", 1).flash("notice", "b").set("c", 2);
  c.var.session.data.list ??= [];
  const text: string = c.var.session.get("text", "");
  const popped: string = c.var.session.pop("text");
  const keys: string[] = [...c.var.session.keys()];
  for (const [key] of c.var.session) key satisfies string;
  const owner: string | null = c.var.session.owner;
  read(c.get("session"));
  read(c.var.session);
  // @ts-expect-error no such method
  c.var.session.sett("a", 1);
  // @ts-expect-error a user id is a string
  c.get("session").bind(1);
  return c.text(`${text}${popped}${keys}${owner}`);
});
const inHelper = (c: Context) => c.get("session").get("a");
plain.use(sessionMiddleware({ sessions: async () => Sessions.fromEnv({}) }));
plain.get("/helper", (c) => c.text(inHelper(c)));

const any = new Hono<{ Variables: SessionVariables }>();
any.get("/", (c) => {
  const has: boolean = c.var.session.has("a") && c.var.session.remove("a");
  const { a }: { a?: string } = c.var.session.set("a", "b").flash("c", "d").toJSON();
  for (const value of c.var.session.values()) read(value);
  return c.text(`${has} ${a} ${c.var.session.popItem()}`);
});

// --- an app that declares the shape

const shop = new Hono<{ Bindings: { SESSIONS: object }; Variables: SessionVariables<Shop> & { user: string } }>();
shop.use(sessionMiddleware());
shop.get("/", async (c) => {
  const views: number = c.get("session").get("views", 0);
  const same: number = c.var.session.get("views", views);
  c.var.session.set("views", same + 1).flash("notice", "x").set("note", c.var.user);
  c.var.session.data.cart?.push({ sku: "A-113", n: 1 });
  await c.var.session.flush({ keep: ["cart"] });
  for (const [key, value] of c.var.session) if (key === "cart") value satisfies Shop["cart"];
  read(c.var.session);
  total(c.var.session);
  total(c.get("session"));
  // @ts-expect-error a value of another type
  c.get("session").set("views", "1");
  // @ts-expect-error a value of another type
  c.var.session.set("views", "1");
  // @ts-expect-error a misspelt key
  c.var.session.set("vews", 1);
  // @ts-expect-error it may be absent
  c.var.session.get("views").toFixed();
  // @ts-expect-error the type of a returned value
  c.var.session.get("note", "") satisfies number;
  // @ts-expect-error a part of another type
  c.var.session.data.views = "1";
  // @ts-expect-error a misspelt key in data
  c.var.session.data.vews = 1;
  // @ts-expect-error a misspelt key in data that is replaced
  c.var.session.data = { vews: 1 };
  // @ts-expect-error a misspelt key of what is written out
  void c.var.session.toJSON().vews;
  // @ts-expect-error the result of set has the same shape
  c.var.session.set("views", 1).set("views", "1");
  // @ts-expect-error a misspelt key
  await c.var.session.flush({ keep: ["crt"] });
  return c.text("");
});

// --- errors

shop.onError((error, c) => {
  if (!(error instanceof SessionError)) return c.text(error.message, 500);
  const { code, status, retryAfter } = error;
  void [status, retryAfter];
  return code === "reauth_required" ? c.redirect("/login") : error.getResponse();
});
