import { Hono } from "hono";
import { sessionMiddleware, type SessionVariables } from "edge-session/hono";

interface MySession {
  views: number;
  note: string;
}

// The bindings and variables of this Worker are read by the middleware: SESSIONS, SESSION_SECRET,
// SESSION_….
const app = new Hono<{ Variables: SessionVariables<MySession> }>();

app.use(sessionMiddleware());

app.get("/", (c) => {
  const { session } = c.var;
  session.set("views", (session.get("views") ?? 0) + 1);
  return c.json({ views: session.get("views"), owner: session.owner });
});

app.post("/login", async (c) => {
  // Check a CSRF token, and a password or a passkey, before this line.
  c.var.session.bind(await c.req.text());
  return c.redirect("/", 303);
});

app.post("/logout", async (c) => {
  await c.var.session.flush();
  return c.redirect("/", 303);
});

export default app;
