// The session's public facts, its key in three parts, cycle and destroy.

import { confirmed } from "./confirm.js";
import { byId, el, onPress, say, setEnabled, setText } from "./dom.js";
import { meaningOf } from "./outcomes.js";
import { Slot } from "./slot.js";
import { wordsOf } from "./stores.js";
import { dateText, spanText } from "./time.js";

const PARTS = ["owner", "lineage", "derived", "tag"];

export function sessionView(live) {
  const slot = new Slot(byId("session-slot"));
  const cycle = byId("cycle");
  const destroy = byId("destroy");
  const copy = byId("copy-key");
  const parts = PARTS.map((part) => byId("session-key").querySelector(`[data-part=${part}] dd`));

  onPress(cycle, () =>
    slot.guard(async () => {
      await live.change((api) => api.cycle());
      say("The key was cycled");
    }),
  );

  onPress(destroy, async () => {
    const sure = await confirmed({
      title: "Destroy this session?",
      text: `Its values are lost and its cookies removed. The key is ${wordsOf(live.store).ended(live.store)}.`,
      yes: "Destroy",
    });
    if (!sure) return;
    await slot.guard(async () => {
      await live.change((api) => api.destroy());
      say("The session was destroyed");
    });
  });

  onPress(copy, async () => {
    const { key } = live.value;
    try {
      await navigator.clipboard.writeText(key);
      setText(copy, "Copied");
      say("Key copied");
    } catch {
      // No clipboard over plain http: select the key, so that the person can copy it. What is on the page has
      // names between its parts.
      const whole = byId("whole-key");
      whole.textContent = key;
      getSelection().selectAllChildren(whole);
      setText(copy, "Selected");
      say("The key is selected: copy it with Ctrl + C");
    }
    setTimeout(() => setText(copy, "Copy key"), 2000);
  });

  const tick = countdowns(live);

  return () => {
    const session = live.value;
    const state = byId("session-state");
    const [word, tone] = stateOf(live);
    setText(state, word);
    state.dataset.tone = tone;
    if (session === null) return;

    setEnabled(cycle, live.isLive);
    // The cookies of a session that was ended elsewhere are still there to be removed.
    for (const button of [destroy, copy]) setEnabled(button, session.key !== null);
    showKey(parts, session.key);

    setText(byId("fact-new"), session.isNew ? "yes" : "no");
    setText(byId("fact-new-sub"), session.isNew ? "not loaded from storage" : "loaded from storage");
    setText(byId("fact-version"), String(session.version));
    setText(byId("fact-owner"), session.owner ?? "none");
    setText(byId("fact-owner-sub"), session.owner === null ? "anonymous" : "bound by login");
    showOutcome(session);
    tick();
  };
}

function stateOf({ value, problem, isLive }) {
  if (problem) return [problem.unreachable ? "unreachable" : problem.code, "bad"];
  if (value === null) return ["unknown", "quiet"];
  if (value.key === null) return ["none", "quiet"];
  return isLive ? ["live", "good"] : ["ended", "quiet"];
}

// A part that changed is marked for a moment: cycling keeps the lineage, login does not.
function showKey(nodes, key) {
  const texts = key === null ? PARTS.map(() => "–") : key.split(".");
  nodes.forEach((node, i) => {
    const text = texts[i] ?? "–";
    if (node.textContent === text) return;
    const wasKey = node.textContent !== "–";
    node.replaceChildren(el("span", { class: wasKey && text !== "–" ? "changed" : null }, text));
  });
}

function showOutcome({ outcome }) {
  const told = outcome !== undefined;
  setText(byId("fact-outcome"), told ? outcome : "not shown");
  setText(byId("fact-outcome-sub"), told ? meaningOf(outcome) : "Shown only if the Worker has the variable DEMO");
}

// Keeps the three times current, and when an end has passed asks once whether the session is still there.
// Once for each key: if this browser's clock is ahead, every answer comes with an end that has passed, and
// each request would move the idle end along.
function countdowns(live) {
  let asked = null;

  const tick = () => {
    const session = live.value;
    if (session === null) return;
    const now = Date.now();
    time("fact-created", session.createdAt, (at) => `${spanText(now - at)} ago`);
    const ended = [
      time("fact-ends", session.expiresAt, (at) => left(at - now)),
      time("fact-idle", session.idleExpiresAt, (at) => left(at - now)),
    ].some((at) => at !== null && at + 1000 < now);

    if (ended && asked !== session.key) {
      asked = session.key;
      live.refresh();
    }
  };

  setInterval(tick, 1000);
  return tick;
}

const left = (span) => (span > 0 ? `in ${spanText(span)}` : "passed");

function time(id, iso, sub) {
  const at = iso === null ? null : Date.parse(iso);
  const node = byId(id);
  if (node.dataset.at !== String(iso)) {
    node.dataset.at = iso;
    node.replaceChildren(at === null ? "–" : el("time", { datetime: iso }, dateText(at)));
  }
  setText(byId(`${id}-sub`), at === null ? "none" : sub(at));
  return at;
}
