import { createFileRoute } from "@tanstack/react-router";

export const Route = createFileRoute("/checkout")({
  server: {
    handlers: {
      POST: ({ request, context: { session } }) => {
        session.remove("cart");
        session.flash("notice", "Thank you for your order");
        // Its headers cannot be changed. The cookies are there all the same.
        return Response.redirect(new URL("/", request.url), 303);
      },
    },
  },
});
