import type { PageServerLoad } from "./$types";

/** Stands for a slow database. */
async function ordersOf(user: string | null) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  return user === null ? [] : [`The first order of ${user}`];
}

export const load: PageServerLoad = ({ locals: { session } }) => {
  // The page is sent before the promise settles, and so is the cookie: change the session here, not
  // in what is streamed.
  session.set("cart", [...session.get("cart", []), "ordered"]);
  return { orders: ordersOf(session.owner) };
};
