// Login, reauthentication and logout: demo routes, there only with the variable DEMO.

import { byId, onPress, say, setEnabled, setText } from "./dom.js";
import { Slot } from "./slot.js";

export function ownerView(live) {
  const owner = byId("login-owner");
  const renew = byId("reauthenticate");
  const logout = byId("logout");
  const slot = new Slot(byId("owner-slot"), owner);
  let off = false;

  const show = () => {
    byId("owner-demo").hidden = off;
    byId("owner-off").hidden = !off;
  };

  const demo = async (call) => {
    try {
      await live.change(call);
    } catch (problem) {
      if (problem.status === 404) off = true;
      show();
      throw problem;
    }
  };

  owner.addEventListener("input", () => slot.clear());

  onPress(byId("login-submit"), async () => {
    const name = owner.value.trim();
    if (name === "") {
      slot.fail("Enter a name to log in as.");
      owner.focus();
      return;
    }
    const passed = await slot.guard(() => demo((api) => api.login(name)));
    if (passed) say(`Logged in as ${name}`);
  });

  onPress(renew, async () => {
    const passed = await slot.guard(() => demo((api) => api.reauthenticate()));
    if (passed) say("The login was renewed, and the key with it");
  });

  onPress(logout, async () => {
    const passed = await slot.guard(() => demo((api) => api.logout()));
    if (passed) say("Logged out");
  });

  return () => {
    const session = live.value;
    if (session === null) return;
    // Outcomes are told under the same variable.
    off = session.outcome === undefined;
    show();
    const chip = byId("owner-chip");
    setText(chip, session.owner ?? "anonymous");
    chip.dataset.tone = session.owner === null ? "quiet" : "good";
    for (const button of [renew, logout]) setEnabled(button, session.owner !== null);
  };
}
