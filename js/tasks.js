// What the core waits for, and what waits for the core. `src/js/tasks.rs` is the other side.

import { answered, failed, give } from "./glue.js";

/** Tasks of the core by number: who waits for their end, or what they came to before anybody did. */
const tasks = new Map();

/** The end of a task, as a promise. */
export function later(task) {
  return new Promise((resolve, reject) => {
    const end = tasks.get(task);
    if (!end) {
      tasks.set(task, { resolve, reject });
    } else {
      tasks.delete(task);
      settle({ resolve, reject }, end);
    }
  });
}

/** Called by the core: what a task came to. */
export function finished(task, value, isError) {
  const waiting = tasks.get(task);
  if (!waiting) {
    tasks.set(task, { value, isError });
  } else {
    tasks.delete(task);
    settle(waiting, { value, isError });
  }
}

function settle({ resolve, reject }, { value, isError }) {
  if (isError) reject(value);
  else resolve(value);
}

/**
 * Does what the core asks of storage, and answers it with an array of texts and nulls, which
 * `texts` makes of what came. Nothing is answered before the core has got back.
 */
export function answer(reply, ask, texts) {
  let asked;
  try {
    asked = Promise.resolve(ask());
  } catch (thrown) {
    asked = Promise.reject(thrown);
  }
  asked.then(
    (told) => {
      let values;
      try {
        values = texts(told);
      } catch (thrown) {
        failed(reply, thrown);
        return;
      }
      for (const value of values) give(reply, value ?? undefined);
      answered(reply);
    },
    (thrown) => failed(reply, thrown),
  );
}
