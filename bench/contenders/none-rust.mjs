// No sessions, from a Worker in Rust: bench/rust-bare. Only its bytes are counted.

import worker from "rust-bare";

export default {
  name: "no sessions, Worker in Rust",
  fetch: worker.fetch,
};
