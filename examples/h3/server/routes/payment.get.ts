import { defineHandler } from "h3";
import { escape, page } from "../utils/page";

export default defineHandler(({ context: { session } }) => {
  // An older login is answered with 401 and the error page, which leads to the login.
  session.requireRecentAuth(300);
  return page("Payment", `<p id="user">${escape(session.owner ?? "")}</p>`);
});
