// The explanation of the cookies stands in index.html; this adds whether they come back.

import { byId, setText } from "./dom.js";

export function cookiesView(live) {
  const chip = byId("cookies-state");

  return () => {
    const [text, tone] = standing(live);
    setText(chip, text);
    chip.dataset.tone = tone;
  };
}

function standing({ value, cookiesKept }) {
  if (cookiesKept === false) return ["dropped by the browser", "bad"];
  if (value === null) return ["unknown", "quiet"];
  return value.key === null ? ["none set yet", "quiet"] : ["kept and sent back", "good"];
}
