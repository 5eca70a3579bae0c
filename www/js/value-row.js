// One value: its key, its JSON to edit in place, save, revert, remove.

import { el, focusLater, onPress, say } from "./dom.js";
import { describeJson, formatJson, jsonFault } from "./json.js";
import { Slot } from "./slot.js";

let rowsMade = 0;

export class ValueRow {
  #live;
  #key;
  #above;
  #onGone;
  /** The stored value as it is shown; null where it was removed under a draft. */
  #stored = "";
  /** What the stored value is, in a few words. */
  #about = "";
  /** Whether the stored value has changed under the draft. */
  #moved = false;
  #field;
  #slot;

  /** `above` is the slot over all rows; `onGone` hears when nothing keeps this row any more. */
  constructor(live, key, { above, onGone }) {
    this.#live = live;
    this.#key = key;
    this.#above = above;
    this.#onGone = onGone;
    const id = `row-${++rowsMade}`;
    const slot = el("p", { class: "slot", id: `${id}-slot` }, "\u00a0");
    this.#field = el("textarea", {
      id,
      rows: 1,
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "false",
      "aria-describedby": slot.id,
      oninput: () => this.#edited(),
      onkeydown: (event) => this.#pressed(event),
    });
    this.#slot = new Slot(slot, this.#field);
    const save = el("button", { type: "button", class: "primary draft", "aria-label": `Save ${key}` }, "Save");
    const revert = el("button", { type: "button", class: "draft", "aria-label": `Revert ${key}` }, "Revert");
    const remove = el("button", { type: "button", class: "settled", "aria-label": `Remove ${key}` }, "Remove");
    onPress(save, () => this.#save());
    onPress(revert, () => this.#revert());
    onPress(remove, () => this.#remove());

    this.node = el(
      "li",
      { class: "value-grid row", "data-key": key },
      el("div", { class: "cell" }, el("label", { for: id }, key === "" ? "(empty key)" : key)),
      el("div", { class: "cell" }, this.#field, slot),
      el("div", { class: "cell buttons" }, save, revert, remove),
    );
  }

  /** Shows the stored value; a draft in work stays, and is told that the value has moved. */
  show(value) {
    const text = formatJson(value);
    if (text !== this.#stored) {
      if (this.#dirty) this.#moved = true;
      else this.#field.value = text;
    }
    this.#stored = text;
    this.#about = describeJson(value);
    this.#edited({ keepError: true });
  }

  /** The value is no longer stored. A draft stays, and is told so: returns whether there is one. */
  showRemoved() {
    if (!this.#dirty) return false;
    this.#stored = null;
    this.#edited({ keepError: true });
    return true;
  }

  /** Draws the eye to the row for a moment. */
  mark() {
    this.node.classList.remove("marked");
    void this.node.offsetWidth;
    this.node.classList.add("marked");
  }

  get #dirty() {
    return this.#field.value !== this.#stored;
  }

  get #hint() {
    if (this.#stored === null) return "Removed meanwhile: Save stores it again.";
    return this.#moved ? "Changed meanwhile: Revert shows the stored value." : this.#about;
  }

  #edited({ keepError = false } = {}) {
    if (!keepError) this.#slot.clear();
    if (!this.#dirty) this.#moved = false;
    this.#slot.hint(this.#hint);
    this.node.toggleAttribute("data-draft", this.#dirty);
    this.#field.rows = Math.min(14, this.#field.value.split("\n").length);
  }

  #pressed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#save();
    else if (event.key === "Escape" && this.#dirty) this.#revert();
  }

  async #save() {
    const text = this.#field.value;
    const fault = jsonFault(text);
    if (fault) {
      this.#slot.fail(fault);
      this.#field.focus();
      return;
    }
    const focus = focusLater();
    const saved = await this.#guard(async () => {
      await this.#live.change(async (api) => {
        const session = await api.set(this.#key, text);
        this.#stored = formatJson(session.data[this.#key]);
        this.#moved = false;
        // The same value, perhaps written another way. It must not look as if somebody else had changed it.
        if (this.#field.value === text) this.#field.value = this.#stored;
        return session;
      });
    });
    if (!saved) return;
    this.#edited();
    focus(this.#field);
    this.mark();
    say(`${this.#key} saved`);
  }

  #revert() {
    const gone = this.#stored === null;
    this.#stored ??= "";
    this.#field.value = this.#stored;
    this.#edited();
    if (gone) this.#onGone();
    else this.#field.focus();
  }

  #remove() {
    return this.#guard(async () => {
      await this.#live.change((api) => api.remove(this.#key));
      say(`${this.#key} removed`);
    });
  }

  /** Runs `action`. If the value turns out to be gone, and this row with it, the refusal is shown above the rows. */
  #guard(action) {
    this.#above.clear();
    return this.#slot.guard(action, (problem) => {
      if (this.node.isConnected) this.#slot.fail(problem);
      else this.#above.fail(`${this.#key}: ${problem.text}`);
    });
  }
}
