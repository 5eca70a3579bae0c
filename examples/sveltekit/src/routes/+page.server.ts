import { redirect } from "@sveltejs/kit";
import type { Actions, PageServerLoad } from "./$types";

export const load: PageServerLoad = ({ locals: { session } }) => {
  // A flash message is shown once: reading it removes it.
  return { user: session.owner, cart: session.get("cart", []), notice: session.takeFlash<string>("notice") };
};

export const actions: Actions = {
  add: async ({ request, locals: { session } }) => {
    const item = String((await request.formData()).get("item") ?? "");
    session.set("cart", [...session.get("cart", []), item]);
    redirect(303, "/");
  },
  logout: async ({ locals: { session } }) => {
    await session.flush();
    session.flash("notice", "You are logged out");
    redirect(303, "/");
  },
};
