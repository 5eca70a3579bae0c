import { sessionContext } from "../session";
import type { Route } from "./+types/checkout";

export function action({ request, context }: Route.ActionArgs) {
  const session = context.get(sessionContext);
  session.remove("cart");
  session.flash("notice", "Thank you for your order");
  // Its headers cannot be changed. The cookies are there all the same.
  return Response.redirect(new URL("/", request.url), 303);
}
