// The line under a control: a hint until something goes wrong there, then the
// error. It is always there, so nothing moves when its text changes.

import { el } from "./dom.js";

export class Slot {
  #node;
  #hint;
  #fields;

  /** `fields` are the inputs an error of this slot makes invalid. */
  constructor(node, ...fields) {
    this.#node = node;
    this.#hint = [...node.childNodes];
    this.#fields = fields;
  }

  /** Replaces the hint. */
  hint(text) {
    this.#hint = [text];
    if (!this.failed) this.#node.replaceChildren(text);
  }

  get failed() {
    return this.#node.dataset.tone === "bad";
  }

  /** Shows what is wrong: a sentence, or a `Problem` with its code. */
  fail(problem) {
    const content = typeof problem === "string" ? [problem] : [problem.text, " ", el("code", {}, problem.code)];
    this.#node.dataset.tone = "bad";
    this.#node.replaceChildren(el("span", { role: "alert" }, ...content));
    for (const field of this.#fields) field.setAttribute("aria-invalid", "true");
  }

  clear() {
    if (!this.failed) return;
    delete this.#node.dataset.tone;
    this.#node.replaceChildren(...this.#hint);
    for (const field of this.#fields) field.removeAttribute("aria-invalid");
  }

  /** Runs `action`; tells whether it passed, and shows the refusal if not: here, unless `show` does. */
  async guard(action, show = (problem) => this.fail(problem)) {
    this.clear();
    try {
      await action();
      return true;
    } catch (problem) {
      if (problem.code === undefined) throw problem;
      show(problem);
      return false;
    }
  }
}
