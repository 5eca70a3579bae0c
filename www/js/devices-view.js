// The owner's sessions: where somebody is logged in, and logging out from here.

import { confirmed } from "./confirm.js";
import { byId, el, focusLater, onPress, say, setEnabled, setText } from "./dom.js";
import { count } from "./json.js";
import { Slot } from "./slot.js";
import { wordsOf } from "./stores.js";
import { dateText } from "./time.js";

export function devicesView(live) {
  const rows = byId("device-rows");
  const look = byId("devices-look");
  const others = byId("devices-others");
  const all = byId("devices-all");
  const slot = new Slot(byId("devices-slot"));
  // Of whom, under which lineage, the list is. A listing costs more than a read, so a change of
  // either and the button ask for it, and nothing else.
  let listed = null;

  const list = async () => {
    const of = listed;
    const passed = await slot.guard(async () => {
      const devices = await live.ask((api) => api.devices());
      if (of === listed) show(devices);
    });
    if (!passed && of === listed) setText(byId("device-empty"), "The list could not be loaded.");
  };

  const show = (devices) => {
    rows.replaceChildren(...devices.map((device) => rowOf(device, end, ended())));
    setText(byId("devices-count"), count(devices.length, "session"));
    setText(byId("device-empty"), wordsOf(live.store).missing);
    byId("device-empty").hidden = devices.length > 0;
  };

  const ended = () => wordsOf(live.store).ended(live.store);

  const showNone = () => {
    rows.replaceChildren();
    setText(byId("devices-count"), "");
    setText(byId("device-empty"), "Log in to see where the owner is logged in.");
    byId("device-empty").hidden = false;
    for (const button of [look, others, all]) setEnabled(button, false);
    slot.clear();
  };

  /** Ends sessions and says so. The focus goes to the list, because the row may be gone. */
  const end = async ({ question, call, done }) => {
    if (!(await confirmed(question))) return;
    const focus = focusLater();
    const passed = await slot.guard(() => live.change(call));
    if (!passed) return;
    if (listed) await list();
    focus(byId("devices"));
    say(done);
  };

  onPress(look, list);

  onPress(others, () =>
    end({
      question: {
        title: "Log out the others?",
        text: `Every session of this owner but this one is ended, listed or not, and ${ended()}.`,
        yes: "Log out the others",
      },
      call: (api) => api.revokeAll({ spare: true }),
      done: "The others were logged out",
    }),
  );

  onPress(all, () =>
    end({
      question: {
        title: "Log out everywhere?",
        text: `Every session of this owner is ended, this one too, and ${ended()}.`,
        yes: "Log out everywhere",
      },
      call: (api) => api.revokeAll({ spare: false }),
      done: "Logged out everywhere",
    }),
  );

  return () => {
    const session = live.value;
    if (session === null) return;
    slot.hint(`Every session of the owner, most recently written first. ${wordsOf(live.store).listed}`);
    const now = session.owner === null ? null : `${session.owner} ${session.key.split(".")[1]}`;
    if (now === listed) return;
    listed = now;
    showNone();
    if (listed === null) return;
    // What ends sessions needs no list.
    for (const button of [look, others, all]) setEnabled(button, true);
    setText(byId("device-empty"), "Asking for the list…");
    list();
  };
}

function rowOf({ key, current, created, lastWritten, userAgent, place }, end, ended) {
  const name = browserOf(userAgent);
  const title = el("h3", {}, el("span", {}, name));
  if (current) title.append(el("span", { class: "chip", "data-tone": "good" }, "this one"));
  const where = place === null ? "" : ` from ${place}`;
  const times = el(
    "p",
    {},
    `Last written ${dateText(Date.parse(lastWritten))}${where}; began ${dateText(Date.parse(created))}.`,
  );
  const words = el("p", {}, el("code", {}, userAgent ?? "It sent no User-Agent."));
  const row = el("li", { class: "device" }, el("div", {}, title, times, words));
  // This one's way out is "Log out": that takes its cookies too.
  if (current) return row;
  const button = el("button", { type: "button", class: "danger", "aria-label": `Log out ${name}…` }, "Log out…");
  onPress(button, () =>
    end({
      question: { title: `Log out ${name}?`, text: `Its session is ended and ${ended}.`, yes: "Log out" },
      call: (api) => api.revoke(key),
      done: `${name} was logged out`,
    }),
  );
  row.append(button);
  return row;
}

// The first that fits: others name the later ones too.
const BROWSERS = [
  [/\bEdg(e|A|iOS)?\//, "Edge"],
  [/\b(OPR|Opera)\//, "Opera"],
  [/\b(Firefox|FxiOS)\//, "Firefox"],
  [/\b(Chrome|CriOS|Chromium|HeadlessChrome)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const SYSTEMS = [
  [/\b(iPhone|iPad)\b/, "iOS"],
  [/\bAndroid\b/, "Android"],
  [/\bWindows\b/, "Windows"],
  [/\bMac OS X\b/, "macOS"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bLinux\b/, "Linux"],
];

/** "Firefox on Linux", or the first words of what it calls itself. */
function browserOf(userAgent) {
  if (userAgent === null) return "An unnamed device";
  const find = (table) => table.find(([pattern]) => pattern.test(userAgent))?.[1];
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)];
  if (browser && system) return `${browser} on ${system}`;
  return browser ?? userAgent.slice(0, 40);
}
