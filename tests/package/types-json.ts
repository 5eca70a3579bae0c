// Recursive JSON types of other libraries, as the shape of a session and as members of one: checked by
// `tsc --strict --noEmit`, never run. Each is copied from its library.

import { Sessions, SessionStore, type Shape } from "edge-session";
import { sessionMiddleware, type SessionVariables } from "edge-session/hono";
// @ts-expect-error the helper types are not exported
import type { Dictionary } from "edge-session";
import { Hono } from "hono";
import type { JSONArray, JSONObject, JSONValue } from "hono/utils/types";

// --- Supabase: one union, optional members
type SupabaseJson = string | number | boolean | null | { [key: string]: SupabaseJson | undefined } | SupabaseJson[];
interface SupabaseRow {
  id: number;
  settings: SupabaseJson;
  history: SupabaseJson[];
  note: SupabaseJson | null;
}

// --- type-fest: an alias for each kind, as it is and as it was
type FestPrimitive = string | number | boolean | null;
type FestArray = FestValue[] | readonly FestValue[];
type FestObject = { [Key in string]: FestValue };
type FestValue = FestPrimitive | FestObject | FestArray;
type OldFestObject = { [Key in string]: OldFestValue } & { [Key in string]?: OldFestValue | undefined };
type OldFestArray = OldFestValue[] | readonly OldFestValue[];
type OldFestValue = FestPrimitive | OldFestObject | OldFestArray;

// --- Prisma: an interface for arrays, and readonly twins for input
type PrismaObject = { [Key in string]?: PrismaValue };
interface PrismaArray extends Array<PrismaValue> {}
type PrismaValue = string | number | boolean | PrismaObject | PrismaArray | null;
type PrismaInputObject = { readonly [Key in string]?: PrismaInputValue | null };
interface PrismaInputArray extends ReadonlyArray<PrismaInputValue | null> {}
type PrismaInputValue = string | number | boolean | PrismaInputObject | PrismaInputArray;

// --- only interfaces, as in hand-written types
interface HandObject {
  [key: string]: HandValue;
}
interface HandArray extends Array<HandValue> {}
type HandValue = string | number | boolean | null | HandObject | HandArray;

// --- recursive without an index signature
interface Comment {
  text: string;
  replies: Comment[];
  parent?: Comment | null;
}
type Expression = number | string | Operation | Expression[];
interface Operation {
  operator: "+" | "-";
  left: Expression;
  right: Expression;
}
type Nested = { next?: Nested; pair: readonly [Nested, ...Nested[]] } | null;
enum Colour {
  Red,
  Blue,
}

interface Members {
  supabase: SupabaseJson;
  row: SupabaseRow;
  fest: FestValue;
  festObject: FestObject;
  oldFest: OldFestValue;
  oldFestObject?: OldFestObject;
  prisma: PrismaValue;
  prismaObject: PrismaObject;
  prismaInput: PrismaInputValue;
  hono: JSONValue;
  honoObject: JSONObject;
  honoArray: JSONArray;
  hand: HandValue;
  comments: Comment[];
  expression: Expression;
  nested: Nested;
  colour: Colour;
  branded: string & { readonly __brand: "UserId" };
  unchecked: unknown;
  anything: any;
  table: Record<string, unknown>;
  list: readonly (string | { at: number })[];
}

const secret = "";
declare const kv: { get(): Promise<null>; put(): Promise<void>; delete(): Promise<void>; list(): Promise<null> };

// --- as members

const members = new Sessions<Members>(kv, { secret });
members.handle(new Request("https://example.com/"), null, (session) => {
  const json: SupabaseJson | undefined = session.get("supabase");
  session.set("supabase", { a: [1, "2", null, { b: undefined }] }).set("fest", [{ a: [] }]).set("prisma", { a: [{}] });
  session.set("hono", { a: [1] }).set("hand", [{ a: [null] }]);
  session.set("comments", [{ text: "first", replies: [{ text: "second", replies: [] }] }]);
  session.set("expression", { operator: "+", left: 1, right: ["x", { operator: "-", left: 1, right: 2 }] });
  session.update({ nested: null, colour: Colour.Blue, table: { a: 1 } });
  session.data.comments?.[0]?.replies.push({ text: "third", replies: [] });
  const row: SupabaseRow = session.require("row");
  const deep: Comment = session.setDefault("comments", []).at(-1)!;
  // @ts-expect-error a value of another type
  session.set("comments", [{ text: 1, replies: [] }]);
  // @ts-expect-error a value of another type
  session.set("expression", { operator: "*", left: 1, right: 2 });
  // @ts-expect-error a value of another type
  session.set("fest", new Date());
  // @ts-expect-error a value of another type
  session.set("supabase", () => 1);
  return Response.json([json, row, deep]);
});

// --- as the shape: objects, and unions that contain objects

const objects = [
  new Sessions<FestObject>(kv, { secret }),
  new Sessions<OldFestObject>(kv, { secret }),
  new Sessions<PrismaObject>(kv, { secret }),
  new Sessions<PrismaInputObject>(kv, { secret }),
  new Sessions<JSONObject>(kv, { secret }),
  new Sessions<HandObject>(kv, { secret }),
  new Sessions<SupabaseRow>(kv, { secret }),
  new Sessions<Comment>(kv, { secret }),
  new Sessions<Operation>(kv, { secret }),
  new Sessions<Record<string, unknown>>(kv, { secret }),
  new Sessions<{ [key: string]: SupabaseJson | undefined }>(kv, { secret }),
];
const unions = [
  new Sessions<SupabaseJson>(kv, { secret }),
  new Sessions<FestValue>(kv, { secret }),
  new Sessions<OldFestValue>(kv, { secret }),
  new Sessions<PrismaValue>(kv, { secret }),
  new Sessions<JSONValue>(kv, { secret }),
  new Sessions<HandValue>(kv, { secret }),
];
void [objects, unions];

declare const fest: SessionStore<FestObject>;
fest.set("a", { b: [1] }).update({ c: null });
fest.get("a") satisfies FestValue | undefined;
for (const [key, value] of fest) [key satisfies string, value satisfies FestValue];
declare const supabase: SessionStore<SupabaseJson>;
supabase.set("a", { b: [1, undefined!] }).update({ c: null });
supabase.get("a") satisfies SupabaseJson | undefined;
supabase.get("a", 0) satisfies SupabaseJson;
supabase.data.a satisfies SupabaseJson | undefined;
for (const [key, value] of supabase) [key satisfies string, value satisfies SupabaseJson | undefined];
// @ts-expect-error not JSON
supabase.set("a", new Date());
// @ts-expect-error not JSON
fest.set("a", () => 1);

// --- through Hono, and through helpers of any shape

const app = new Hono<{ Variables: SessionVariables<FestObject> }>();
app.use(sessionMiddleware<FestObject>({ sessions: new Sessions<FestObject>(kv, { secret }) }));
app.get("/", (c) => c.json([c.var.session.get("a") ?? null, label(c.var.session), viewsOf(members.open())]));

/** A helper that is generic over the shape. */
function viewsOf<T extends Shape<T>>(session: SessionStore<T>): number {
  return session.size;
}
/** A helper that accepts any session. */
function label(session: SessionStore): string {
  const value: string = session.get("label", "none");
  session.set("label", value).flash("seen", value);
  session.data.label = value;
  for (const [key] of session) key satisfies string;
  return `${value} ${session.owner ?? "-"}`;
}
function all(sessions: Sessions): Promise<unknown> {
  return sessions.list("ada");
}
declare const comments: SessionStore<Comment>;
void [label(fest), label(supabase), label(comments), label(members.open()), all(members)];
const stores: SessionStore[] = [fest, supabase, comments, members.open()];
const byPage: Map<string, SessionStore> = new Map([["a", comments]]);
void [stores, byPage];
// @ts-expect-error one shape is not another
const wrong: SessionStore<Comment> = members.open();

// --- values that JSON cannot represent are still errors, at any depth and beside recursive types

interface WithJson<T> {
  json: SupabaseJson;
  fest: FestValue;
  value: T;
}
// @ts-expect-error comes back as a string
new Sessions<WithJson<Date>>(kv, { secret });
// @ts-expect-error comes back as a string
new Sessions<WithJson<Date | string>>(kv, { secret });
// @ts-expect-error comes back as a string
new Sessions<WithJson<Date[]>>(kv, { secret });
// @ts-expect-error comes back as a string
new Sessions<WithJson<readonly [string, { at: Date }]>>(kv, { secret });
// @ts-expect-error comes back as a string
new Sessions<WithJson<Date | undefined>>(kv, { secret });
// @ts-expect-error comes back as a string
new Sessions<{ when?: Date }>(kv, { secret });
// @ts-expect-error comes back as a string
new Sessions<{ [key: string]: Date }>(kv, { secret });
// @ts-expect-error comes back as a string
new Sessions<Record<string, { at?: Date }>>(kv, { secret });
// @ts-expect-error is not JSON
new Sessions<WithJson<() => void>>(kv, { secret });
// @ts-expect-error is not JSON
new Sessions<WithJson<SupabaseJson | (() => void)>>(kv, { secret });
// @ts-expect-error is not JSON
new Sessions<WithJson<{ f(): void }>>(kv, { secret });
// @ts-expect-error is not JSON
new Sessions<WithJson<new () => object>>(kv, { secret });
// @ts-expect-error is not JSON
new Sessions<WithJson<symbol>>(kv, { secret });
// @ts-expect-error is not JSON
new Sessions<WithJson<symbol | string>>(kv, { secret });
// @ts-expect-error is not JSON
new Sessions<WithJson<bigint[]>>(kv, { secret });
// @ts-expect-error comes back empty
new Sessions<WithJson<Map<string, number>>>(kv, { secret });
// @ts-expect-error comes back empty
new Sessions<WithJson<Set<SupabaseJson> | null>>(kv, { secret });
// @ts-expect-error comes back empty
new Sessions<WithJson<WeakMap<object, string>>>(kv, { secret });
// @ts-expect-error comes back empty
new Sessions<WithJson<RegExp>>(kv, { secret });
// @ts-expect-error comes back as an object of numbers
new Sessions<WithJson<Uint8Array>>(kv, { secret });
// @ts-expect-error comes back empty
new Sessions<WithJson<Promise<string>>>(kv, { secret });
// @ts-expect-error comes back as a string
new Sessions<WithJson<URL>>(kv, { secret });
// @ts-expect-error JSON omits members named by symbols
new Sessions<WithJson<{ [Symbol.iterator]: string }>>(kv, { secret });
interface Thread {
  replies: Thread[];
  at: Date;
}
// @ts-expect-error comes back as a string, also in a recursive type
new Sessions<Thread>(kv, { secret });
// @ts-expect-error comes back as a string, also in a recursive type
new SessionStore<{ threads: Record<string, Thread | null> }>(kv, { secret });
type DateJson = string | null | Date | { [key: string]: DateJson } | DateJson[];
// @ts-expect-error a recursive type with a Date in it
new Sessions<{ json: DateJson }>(kv, { secret });
// @ts-expect-error a list has no keys
new Sessions<string[]>(kv, { secret }).open().set("length", 1);
