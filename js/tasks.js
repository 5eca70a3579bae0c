// What the core waits for, and what waits for the core. `src/face/js/tasks.rs` is the other side.

import { answered, failed, give } from "./glue.js";

/** What is known of a task of the core. */
class Task {
  /** Who waits for its end, and what it came to before anybody did: a step has one caller. */
  then;
  end;
  /** Who wants to know that it has ended, whatever it came to. */
  held = [];
}

const tasks = new Map();

function known(number) {
  let task = tasks.get(number);
  if (!task) tasks.set(number, (task = new Task()));
  return task;
}

/** Calls `then` with what a task came to and whether that is an error. */
export function atEnd(number, then) {
  const task = known(number);
  if (!task.end) {
    task.then = then;
  } else {
    tasks.delete(number);
    then(...task.end);
  }
}

/** The end of a task, as a promise. */
export const later = (number) =>
  new Promise((resolve, reject) => atEnd(number, (value, isError) => (isError ? reject(value) : resolve(value))));

/** A promise that a task has ended, beside its caller's. */
export const hold = (number) =>
  new Promise((resolve) => {
    known(number).held.push(resolve);
  });

/** Called by the core: what a task came to. */
export function finished(number, value, isError) {
  const task = known(number);
  for (const resolve of task.held.splice(0)) resolve();
  if (task.then) {
    tasks.delete(number);
    task.then(value, isError);
  } else {
    task.end = [value, isError];
  }
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
      // Of what a load reads, all but the first are markers, which are absent as a rule.
      if (values.every((value, i) => i === 0 || (value ?? null) === null)) {
        answered(reply, values[0] ?? undefined, values.length);
      } else {
        for (const value of values) give(reply, value ?? undefined);
        answered(reply, undefined, 0);
      }
    },
    (thrown) => failed(reply, thrown),
  );
}
