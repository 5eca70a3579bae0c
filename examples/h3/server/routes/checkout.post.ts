import { defineHandler } from "h3";

export default defineHandler(({ url, context: { session } }) => {
  session.remove("cart");
  session.flash("notice", "Thank you for your order");
  // Its headers cannot be changed. The cookies are there all the same.
  return Response.redirect(new URL("/", url), 303);
});
