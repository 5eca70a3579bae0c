// When this session ends.

import { byId, onPress, say } from "./dom.js";
import { Slot } from "./slot.js";
import { fieldText } from "./time.js";

const FIELDS = { seconds: "expiry-seconds-value", date: "expiry-date-value", idle: "expiry-idle-value" };

export function expiryView(live) {
  const form = byId("expiry-form");
  const slot = new Slot(byId("expiry-slot"));
  byId(FIELDS.date).value = fieldText(Date.now() + 3_600_000);

  for (const [kind, id] of Object.entries(FIELDS)) {
    byId(id).addEventListener("input", () => {
      slot.clear();
      form.elements.expiry.value = kind;
    });
  }
  form.addEventListener("change", () => slot.clear());

  const read = () => {
    const kind = form.elements.expiry.value;
    return { kind, expiry: expiryOf(kind) };
  };

  const apply = async ({ kind, expiry }) => {
    if (expiry === null) {
      slot.fail(kind === "date" ? "That is not a date and a time." : "That is not a number of seconds.");
      byId(FIELDS[kind]).focus();
      return;
    }
    const passed = await slot.guard(() => live.change((api) => api.setExpiry(expiry)));
    if (!passed) return;
    if (live.value?.key === null) slot.fail("There is no session yet: add a value first.");
    else say("The expiry was set");
  };
  onPress(byId("expiry-submit"), apply, { read });

  return () => {};
}

/** What to send, or null where the field does not say. */
function expiryOf(kind) {
  if (kind === "default") return {};
  if (kind === "close") return { seconds: 0 };
  const field = byId(FIELDS[kind]);
  if (kind === "date") {
    const date = new Date(field.value);
    return Number.isNaN(date.getTime()) ? null : { date: date.toISOString() };
  }
  return Number.isSafeInteger(field.valueAsNumber) ? { [kind]: field.valueAsNumber } : null;
}
