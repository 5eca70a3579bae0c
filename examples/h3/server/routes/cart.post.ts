import { defineHandler, redirect } from "h3";

export default defineHandler(async ({ req, context: { session } }) => {
  const item = String((await req.formData()).get("item") ?? "");
  session.set("cart", [...session.get("cart", []), item]);
  return redirect("/", 303);
});
