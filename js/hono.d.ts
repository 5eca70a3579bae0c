import type { MiddlewareHandler } from "hono";
import type { AnyData, Sessions, SessionStore, Shape } from "./index.js";

/** The variables of a Hono app that uses the middleware, with the shape of its sessions. */
export interface SessionVariables<T extends Shape<T> = AnyData> {
  session: SessionStore<T>;
}

/** What only a `SessionStore` has: its shape, which is there for the compiler. */
type Marker = Exclude<keyof SessionStore & symbol, typeof Symbol.iterator>;

/** The members whose types the shape of the data decides. */
type Shaped =
  | "get" | "require" | "has" | "keys" | "values" | "entries" | "data"
  | "set" | "remove" | "pop" | "popItem" | "update" | "setDefault" | "flash" | "flush" | "toJSON";

/** `S`, unless it is a session of a certain shape, which `SessionVariables` says. */
type OfAnyShape<S> = S extends { readonly [M in Marker]?: infer T }
  ? unknown extends T
    ? S
    : string extends keyof NonNullable<T>
      ? S
      : never
  : S;

type Dictionary = { [key: string]: any };

/** All values of `S`: of any shape, unless it is a session of a certain shape, which says what they are. */
type DataOf<S> = ShapeOf<S> extends infer T
  ? unknown extends T
    ? Dictionary
    : string extends keyof NonNullable<T>
      ? Dictionary
      : unknown
  : never;

/** The shape of a session of a certain shape; unknown of one that says none. */
type ShapeOf<S> = Marker extends keyof S ? S[Marker] : unknown;

/**
 * The session of an app that does not say the shape of its sessions. `c.var` is the intersection of
 * this and of the app's own variables. Where these name a shape, the methods here do not apply, and
 * those of `SessionStore<Shop>` are left.
 */
export interface ContextSession extends Omit<SessionStore, Shaped | symbol> {
  get(this: OfAnyShape<this>, key: string, fallback?: unknown): any;
  require(this: OfAnyShape<this>, key: string): any;
  has(this: OfAnyShape<this>, key: string): boolean;
  keys(this: OfAnyShape<this>): IterableIterator<string>;
  values(this: OfAnyShape<this>): IterableIterator<any>;
  entries(this: OfAnyShape<this>): IterableIterator<[string, any]>;
  [Symbol.iterator](this: OfAnyShape<this>): IterableIterator<[string, any]>;
  data: DataOf<this>;
  set(this: OfAnyShape<this>, key: string, value: any): this;
  remove(this: OfAnyShape<this>, key: string): boolean;
  pop(this: OfAnyShape<this>, key: string, fallback?: unknown): any;
  popItem(this: OfAnyShape<this>): [string, any];
  update(this: OfAnyShape<this>, values: Dictionary | Iterable<[string, any]>): this;
  setDefault(this: OfAnyShape<this>, key: string, value: any): any;
  flash(key: string, value: unknown): this;
  flush(this: OfAnyShape<this>, options?: { keep?: Iterable<string> }): Promise<void>;
  toJSON(this: OfAnyShape<this>): Dictionary;
}

declare module "hono" {
  interface ContextVariableMap {
    session: ContextSession;
  }
}

export interface SessionMiddlewareOptions<T extends Shape<T> = AnyData> {
  /**
   * The sessions, or how to get them, or a promise of them, from a context; by default what the
   * environment says.
   */
  sessions?: Sessions<T> | ((c: any) => Sessions<T> | Promise<Sessions<T>>);
  /** Leaves loading to the handler. */
  lazy?: boolean;
}

/**
 * Loads the session of each request into `c.get("session")`, and commits it with a response below
 * 500. Registered again, in a sub-app for instance, it gives the same session. What the session
 * refuses is an error for `app.onError`; by default it is answered with its own status. After an
 * error that was thrown changes are dropped, whatever `onError` answers, unless the error is a
 * redirect.
 *
 * Register middleware that answers without a body, such as `etag`, after this one, and middleware
 * that replaces the request, such as `bodyLimit`, before it.
 */
export function sessionMiddleware<T extends Shape<T> = AnyData>(
  options?: SessionMiddlewareOptions<T>,
): MiddlewareHandler<{ Variables: SessionVariables<any> }>;

// What has no `export` above is no part of the interface; without this line all of it would be.
export {};
