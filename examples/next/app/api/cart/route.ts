import { getSessions } from "../../../lib/session";

export function POST(request: Request) {
  const { sessions, ctx } = getSessions();
  return sessions.handle(request, ctx, async (session) => {
    session.set("cart", [...session.get("cart", []), await request.text()]);
    return Response.json({ count: session.get("cart", []).length });
  });
}
