import { json } from "@sveltejs/kit";
import type { RequestHandler } from "./$types";

export const GET: RequestHandler = ({ locals: { session } }) => {
  // What is asked for from inside sees, and may change, the session of the page that asks.
  session.setDefault("cart", []);
  return json({ count: session.get("cart", []).length });
};
