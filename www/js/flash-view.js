// A flash value: left once, taken once.

import { byId, onPress, say } from "./dom.js";
import { Slot } from "./slot.js";

const KEY = "console";

export function flashView(live) {
  const text = byId("flash-text");
  const slot = new Slot(byId("flash-slot"), text);
  text.addEventListener("input", () => slot.clear());

  const leave = async (message) => {
    const left = await slot.guard(() => live.change((api) => api.leaveFlash(KEY, message)));
    if (!left) return;
    // The field may hold the next message already.
    slot.hint(`Stored: ${short(message)}. The first tab that takes it gets it.`);
    say("The message was left");
  };
  onPress(byId("flash-leave"), leave, { read: () => text.value });

  onPress(byId("flash-take"), () =>
    slot.guard(async () => {
      try {
        const taken = await live.ask((api) => api.takeFlash(KEY));
        slot.hint(`Taken: ${JSON.stringify(taken)}. It can be taken only once.`);
        say(`Taken: ${taken}`);
      } catch (problem) {
        if (problem.code !== "not_found") throw problem;
        slot.hint("There is no message, or it was already taken.");
        say("There is no message");
      }
      await live.refresh();
    }),
  );

  return () => {};
}

/** So that the slot has room for it. */
function short(message) {
  const all = [...message];
  return JSON.stringify(all.length > 20 ? `${all.slice(0, 19).join("")}…` : message);
}
