// The strip under the title: one sentence on how things stand.

import { byId, onPress, setText } from "./dom.js";
import { isRemarkable, meaningOf } from "./outcomes.js";

export function noticeView(live) {
  const strip = byId("notice");
  const text = byId("notice-text");
  onPress(byId("refresh"), () => live.refresh());

  return () => {
    const { kind, sentence } = standing(live);
    strip.dataset.kind = kind;
    setText(text, sentence);
  };
}

function standing({ value, problem, cookiesKept, isLive }) {
  if (problem?.unreachable) {
    const rest = value ? "The page shows the last answer." : "The explanations on this page still apply.";
    return { kind: "bad", sentence: `${problem.text} ${rest}` };
  }
  if (problem) return { kind: "bad", sentence: `${problem.text} (${problem.code})` };
  if (cookiesKept === false) return { kind: "bad", sentence: cookiesLost() };
  if (isRemarkable(value.outcome)) return { kind: "odd", sentence: `${meaningOf(value.outcome)} (${value.outcome})` };
  if (value.key === null) return { kind: "quiet", sentence: "No session yet. Nothing is stored until the first value is set." };
  // Without DEMO there is no outcome, which would have said so above.
  if (!isLive) return { kind: "odd", sentence: `${meaningOf("revoked")} Destroy removes its cookies, so that a new one can begin.` };
  if (cookiesKept === null) return { kind: "wait", sentence: "Saved. Checking whether the cookie comes back…" };
  return { kind: "good", sentence: "A live session. The browser sends its cookies back." };
}

function cookiesLost() {
  const lost = "The session was saved, but its cookie did not come back, so the next request was anonymous.";
  if (blocksCookies()) return `${lost} This browser blocks cookies for this site: allow them in its settings.`;
  if (location.protocol === "http:") {
    const where = isSecureContext ? "Over plain http this browser drops Secure cookies, on this machine too, as Safari does" : "Over plain http this browser drops Secure cookies";
    return `${lost} ${where}: open this page over https, or in Chrome or Firefox at http://localhost.`;
  }
  return `${lost} Something between this browser and the Worker takes it away.`;
}

/** Whether not even a cookie that is not Secure is kept. Asked only when one has been lost. */
function blocksCookies() {
  const name = "console-probe";
  document.cookie = `${name}=1; Max-Age=60; SameSite=Strict`;
  const kept = document.cookie.split("; ").includes(`${name}=1`);
  document.cookie = `${name}=; Max-Age=0; SameSite=Strict`;
  return !kept;
}
