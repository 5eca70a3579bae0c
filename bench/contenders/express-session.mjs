// express-session, on workerd's node:http, over a store that keeps its sessions in KV.

import { createServer } from "node:http";

import { httpServerHandler } from "cloudflare:node";
import session, { Store } from "express-session";
import { otherTail } from "./forge.mjs";

const AGE = 604_800;
/** Of the request that is under way: the variables of the Worker. */
let env;

class KvStore extends Store {
  #answer(promise, done) {
    promise.then((value) => done?.(null, value), (error) => done?.(error));
  }
  get(sid, done) {
    this.#answer(env.SESSIONS.get(sid, "json"), done);
  }
  set(sid, value, done) {
    this.#answer(env.SESSIONS.put(sid, JSON.stringify(value), { expirationTtl: AGE }), done);
  }
  destroy(sid, done) {
    this.#answer(env.SESSIONS.delete(sid), done);
  }
  // Without `touch`, and with a lifetime that does not slide, a read costs no put.
}

let sessions;
function middleware() {
  return (sessions ??= session({
    store: new KvStore(),
    secret: env.SESSION_SECRET,
    resave: false,
    saveUninitialized: false,
    proxy: true,
    cookie: { secure: true, httpOnly: true, sameSite: "lax", maxAge: AGE * 1000 },
  }));
}

function answer(request, response) {
  const { session } = request;
  switch (request.method) {
    case "HEAD":
      return response.end();
    case "GET":
      return response.end(String(session.views ?? "none"));
    case "PUT":
      session.views = (session.views ?? 0) + 1;
      return response.end("ok");
    case "POST":
      return session.regenerate(() => {
        Object.assign(request.session, env.DATA, env.OWNER ? { user: env.OWNER } : {});
        response.end("ok");
      });
    case "DELETE":
      return session.destroy(() => response.end("ok"));
  }
}

// Made with the first request: at module scope nothing may listen.
let withSessions;
let without;
const listen = (port, handler) => {
  createServer(handler).listen(port);
  return httpServerHandler({ port });
};

export default {
  name: "express-session, KV storage",
  fetch(request, variables, ctx) {
    env = variables;
    withSessions ??= listen(8080, (req, res) => {
      // TLS ends before the Worker.
      req.headers["x-forwarded-proto"] = "https";
      middleware()(req, res, () => answer(req, res));
    });
    return withSessions.fetch(request, variables, ctx);
  },
  forge: otherTail,

  /** What it is measured over: the same server without sessions. */
  bare: {
    fetch(request, variables, ctx) {
      without ??= listen(8081, (_, res) => res.end("ok"));
      return without.fetch(request, variables, ctx);
    },
  },
};
