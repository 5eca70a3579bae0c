// Replaces this isolate's clock by one that a test can move and stop.

import { WorkerEntrypoint } from "cloudflare:workers";

const realNow = Date.now;
/** Ahead of the machine's clock by `offset`, or standing still `at` an instant; milliseconds. */
let clock = { offset: 0 };

Date.now = () => clock.at ?? realNow() + clock.offset;

/** `POST /` with `{"offset": n}` or `{"at": n}`. */
export class Clock extends WorkerEntrypoint {
  async fetch(request) {
    clock = await request.json();
    return new Response(null, { status: 204 });
  }
}
