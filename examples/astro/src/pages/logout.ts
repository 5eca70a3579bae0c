import type { APIRoute } from "astro";

export const POST: APIRoute = async ({ locals: { session }, redirect }) => {
  await session.flush();
  session.flash("notice", "You are logged out");
  return redirect("/", 303);
};
