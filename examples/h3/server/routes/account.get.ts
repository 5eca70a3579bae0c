import { sessionMiddleware } from "edge-session/h3";
import { defineHandler } from "h3";
import { escape, page } from "../utils/page";

// The middleware is there already. Where a part of an application brings it along, there is still one
// session for a request and one commit.
export default defineHandler({
  middleware: [sessionMiddleware()],
  handler: ({ context: { session } }) => {
    session.setDefault("cart", []);
    return page("Account", `<p id="user">${escape(session.owner ?? "nobody")}</p>`);
  },
});
