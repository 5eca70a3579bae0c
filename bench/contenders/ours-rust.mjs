// This crate, from a Worker in Rust: bench/rust-worker.

import worker from "rust-worker";
import { otherTail } from "./forge.mjs";

let known;
let text;

export default {
  name: "edge-session, from Rust",
  fetch(request, env, ctx) {
    // A variable of a Worker is text.
    if (known !== env.DATA) text = JSON.stringify((known = env.DATA));
    env.DATA_TEXT = text;
    return worker.fetch(request, env, ctx);
  },
  forge: otherTail,
};
