import type { MiddlewareHandler } from "hono";
import type { AnyData, Sessions, SessionStore, Shape } from "./index.js";

/** The variables of a Hono app that uses the middleware, with the shape of its sessions. */
export interface SessionVariables<T extends Shape<T> = AnyData> {
  session: SessionStore<T>;
}

/** The key of a `SessionStore` that only it has: its shape, which exists for the compiler. */
type Marker = Exclude<keyof SessionStore & symbol, typeof Symbol.iterator>;

/** The members whose types depend on the shape of the data. */
type Shaped =
  | "get" | "require" | "has" | "keys" | "values" | "entries" | "data"
  | "set" | "remove" | "pop" | "popItem" | "update" | "setDefault" | "flash" | "flush" | "toJSON";

/** `S`, or `never` if `SessionVariables` declares a shape for it. */
type OfAnyShape<S> = S extends { readonly [M in Marker]?: infer T }
  ? unknown extends T
    ? S
    : string extends keyof NonNullable<T>
      ? S
      : never
  : S;

type Dictionary = { [key: string]: any };

/** The type of `data`: any values, unless a shape is declared, which then decides. */
type DataOf<S> = ShapeOf<S> extends infer T
  ? unknown extends T
    ? Dictionary
    : string extends keyof NonNullable<T>
      ? Dictionary
      : unknown
  : never;

/** The declared shape of a session; `unknown` if there is none. */
type ShapeOf<S> = Marker extends keyof S ? S[Marker] : unknown;

/**
 * The session of an app that does not declare the shape of its sessions. `c.var` is the intersection
 * of this and the app's own variables. If these declare a shape, the methods here do not apply, and
 * only those of `SessionStore<Shop>` are left.
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
   * The sessions, or a function from the context to them or to a promise of them. By default they are
   * read from the environment, as by `Sessions.fromEnv`.
   */
  sessions?: Sessions<T> | ((c: any) => Sessions<T> | Promise<Sessions<T>>);
  /** Does not load the session: the handler has to call `load()`. */
  lazy?: boolean;
}

/**
 * Loads the session of each request into `c.get("session")`, and commits it with a response below
 * 500. If it is registered again, for example in a sub-app, both use the same session. Errors of the
 * session go to `app.onError`; by default they are answered with their own status. After a thrown
 * error the changes are dropped, whatever `onError` answers, unless the error is a redirect.
 *
 * Register middleware that may replace the response, such as `etag`, after this one, and middleware
 * that replaces the request, such as `bodyLimit`, before it.
 */
export function sessionMiddleware<T extends Shape<T> = AnyData>(
  options?: SessionMiddlewareOptions<T>,
): MiddlewareHandler<{ Variables: SessionVariables<any> }>;

// Without this line, declarations above that lack `export` would be exported too.
export {};
