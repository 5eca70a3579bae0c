import type { PageServerLoad } from "./$types";

export const load: PageServerLoad = ({ locals: { session } }) => {
  // An older login is answered with 401 and the error page, which leads to the login.
  session.requireRecentAuth(300);
  return { user: session.owner };
};
