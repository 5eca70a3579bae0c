// Replaces the clock of this isolate by one that a test moves, and may stop.

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
