// `app-entry.mjs` for a Worker with Durable Objects, which notes what reaches them. Its objects do
// what those of the Worker do.

import { WorkerEntrypoint } from "cloudflare:workers";

import { SessionObject as Unwatched } from "./app-entry.mjs";

export * from "./app-entry.mjs";
export { default } from "./app-entry.mjs";

/** The operation of each request to an object, in order: "read", "transact" or "list". */
let calls = [];

export class SessionObject extends Unwatched {
  fetch(request) {
    calls.push(new URL(request.url).pathname.split("/").at(-1));
    return super.fetch(request);
  }
}

/** `GET /` tells the calls, `DELETE /` forgets them. */
export class Calls extends WorkerEntrypoint {
  async fetch({ method }) {
    if (method === "DELETE") calls = [];
    return Response.json(calls);
  }
}
