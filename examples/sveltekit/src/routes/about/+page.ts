// Served as a file: it costs no request of the Worker and has no session.
export const prerender = true;
