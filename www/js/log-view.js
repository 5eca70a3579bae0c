// The requests this page has made, newest first.

import { byId, el, onPress, setText } from "./dom.js";
import { count } from "./json.js";
import { clockText } from "./time.js";

const KEPT = 200;

export function logView() {
  const rows = byId("log-rows");
  let total = 0;

  const tell = () => setText(byId("log-count"), total === 0 ? "" : count(total, "request"));

  onPress(byId("log-clear"), () => {
    rows.replaceChildren();
    total = 0;
    tell();
  });

  return (exchange) => {
    rows.prepend(rowOf(exchange));
    if (rows.childElementCount > KEPT) rows.lastElementChild.remove();
    total += 1;
    tell();
  };
}

function rowOf({ at, method, path, status, code, outcome, ms }) {
  const cell = (name, ...content) => el("td", { role: "cell", class: name }, ...content);
  const number = el("span", {}, status === 0 ? "none" : String(status));
  // What went wrong, or else what the load found.
  const word = code ?? outcome;
  return el(
    "tr",
    { role: "row", "data-tone": code === null ? "good" : "bad" },
    cell("at", el("time", { datetime: new Date(at).toISOString() }, clockText(at))),
    cell("method", method),
    cell("path", path),
    cell("status", ...(word === null ? [number] : [number, " ", el("code", {}, word)])),
    cell("number", String(Math.round(ms))),
  );
}
