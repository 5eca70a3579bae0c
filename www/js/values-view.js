// The values: the form that adds one, and a row for each.

import { confirmed } from "./confirm.js";
import { byId, focusLater, onPress, say, setEnabled, setText } from "./dom.js";
import { bytes, count, jsonFault } from "./json.js";
import { Slot } from "./slot.js";
import { ValueRow } from "./value-row.js";

export function valuesView(live) {
  const rows = new Map();
  const list = byId("value-rows");
  const clear = byId("clear");
  const clearSlot = new Slot(byId("clear-slot"));
  addForm(live, rows, clearSlot);

  onPress(clear, async () => {
    const sure = await confirmed({
      title: "Clear all values?",
      text: "The session stays, with its key and its owner; its values are removed.",
      yes: "Clear",
    });
    if (!sure) return;
    await clearSlot.guard(async () => {
      await live.change((api) => api.clear());
      say("All values were removed");
    });
  });

  const show = () => {
    const data = live.value?.data;
    if (data === undefined) return;
    for (const [key, row] of rows) {
      if (Object.hasOwn(data, key) || row.showRemoved()) continue;
      rows.delete(key);
      leave(row.node);
      row.node.remove();
    }
    for (const [key, value] of Object.entries(data)) {
      const row = rows.get(key) ?? new ValueRow(live, key, { above: clearSlot, onGone: show });
      row.show(value);
      if (rows.get(key) !== row) list.append(row.node);
      rows.set(key, row);
    }
    // A draft may have a row without a value.
    const stored = Object.keys(data).length;
    byId("value-empty").hidden = rows.size > 0;
    setText(byId("value-empty"), "No values. A session is stored with its first value.");
    setEnabled(clear, stored > 0);
    setText(byId("values-size"), stored === 0 ? "" : `${count(stored, "key")}, ${bytes(JSON.stringify(data))}`);
  };
  return show;
}

// A removed row hands the keyboard's focus to its neighbour.
function leave(node) {
  if (!node.contains(document.activeElement)) return;
  const neighbour = node.nextElementSibling ?? node.previousElementSibling;
  (neighbour?.querySelector("textarea") ?? byId("add-key")).focus();
}

function addForm(live, rows, above) {
  const key = byId("add-key");
  const value = byId("add-value");
  const submit = byId("add-submit");
  const keySlot = new Slot(byId("add-key-slot"), key);
  const valueSlot = new Slot(byId("add-value-slot"), value);

  key.addEventListener("input", () => {
    keySlot.clear();
    const known = Object.hasOwn(live.value?.data ?? {}, key.value);
    setText(submit, known ? "Set" : "Add");
    keySlot.hint(known ? "Replaces its value" : "Any text");
  });
  value.addEventListener("input", () => valueSlot.clear());
  value.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit.click();
  });

  const save = async () => {
    above.clear();
    const name = key.value;
    const text = value.value;
    const fault = jsonFault(text);
    if (name === "") keySlot.fail("A key is missing.");
    if (fault) valueSlot.fail(fault);
    if (name === "" || fault) {
      (name === "" ? key : value).focus();
      return;
    }

    // The next value may be in the form before this one is stored.
    const untouched = () => key.value === name && value.value === text;
    const focus = focusLater();
    try {
      await live.change((api) => api.set(name, text));
    } catch (problem) {
      if (problem.code === undefined) throw problem;
      (problem.code === "not_addressable" ? keySlot : valueSlot).fail(untouched() ? problem : `${name}: ${problem.text}`);
      return;
    }
    if (live.cookiesKept === false) return;
    say(`${name} saved`);
    rows.get(name)?.mark();
    if (!untouched()) return;
    // An attempt before may have been refused.
    keySlot.clear();
    valueSlot.clear();
    key.value = "";
    value.value = "";
    key.dispatchEvent(new Event("input"));
    focus(key);
  };
  onPress(submit, save, { overlap: true });
}
