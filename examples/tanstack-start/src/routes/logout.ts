import { createFileRoute } from "@tanstack/react-router";
import { seeOther } from "../see-other";

export const Route = createFileRoute("/logout")({
  server: {
    handlers: {
      POST: async ({ context: { session } }) => {
        await session.flush();
        session.flash("notice", "You are logged out");
        return seeOther("/");
      },
    },
  },
});
