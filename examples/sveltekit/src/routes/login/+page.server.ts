import { redirect } from "@sveltejs/kit";
import type { Actions } from "./$types";

export const actions: Actions = {
  default: async ({ request, locals: { session } }) => {
    const user = String((await request.formData()).get("user") ?? "");
    // Check a password or a passkey before this line. The cart keeps its items.
    session.bind(user);
    session.flash("notice", `Welcome, ${user}`);
    // It throws, and what was changed before it is committed.
    redirect(303, "/");
  },
};
