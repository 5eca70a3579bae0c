// A Worker that only has the objects. Others bind to them by its name: no request reaches it.
export { SessionObject } from "edge-session/durable-object";

export default {
  fetch: () => new Response("not found", { status: 404 }),
};
