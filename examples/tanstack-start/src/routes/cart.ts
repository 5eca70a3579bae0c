import { createFileRoute } from "@tanstack/react-router";
import { seeOther } from "../see-other";

export const Route = createFileRoute("/cart")({
  server: {
    handlers: {
      POST: async ({ request, context: { session } }) => {
        const item = String((await request.formData()).get("item") ?? "");
        session.set("cart", [...session.get("cart", []), item]);
        return seeOther("/");
      },
    },
  },
});
