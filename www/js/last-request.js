// What the last request cost: milliseconds as this page measured them, and the operations on storage
// where the Worker tells them, in a Server-Timing header.

import { byId, setText } from "./dom.js";
import { count } from "./json.js";

export function lastRequestView() {
  return ({ method, path, status, code, timing, ms }) => {
    setText(byId("fact-request"), `${Math.round(ms)} ms`);
    setText(byId("fact-request-sub"), `${method} ${path} · ${status === 0 ? "no answer" : (code ?? status)}`);
    const told = toldBy(timing);
    setText(byId("fact-operations"), told?.text ?? "not shown");
    setText(byId("fact-operations-sub"), told ? share(told.ms) : "Shown only with SESSION_SERVER_TIMING");
  };
}

const share = (ms) => (ms === null ? "as its Server-Timing says" : `${ms} ms of it waiting for the store`);

/** The metric `session` of a Server-Timing header: `session;dur=1.2;desc="get 1 keys 2 put 0 …"`. */
function toldBy(timing) {
  const metrics = timing?.match(/(?:[^,"]|"[^"]*")+/g) ?? [];
  const metric = metrics.map((it) => it.trim()).find((it) => /^session\s*(;|$)/.test(it));
  const words = metric?.match(/;\s*desc="([^"]*)"/)?.[1].matchAll(/([a-z]+) (\d+)/g);
  if (!words) return null;
  const { get = 0, keys = 0, ...changes } = Object.fromEntries([...words].map(([, name, n]) => [name, Number(n)]));
  const parts = get > 0 ? [`${count(get, "read")} of ${count(keys, "key")}`] : [];
  for (const [name, n] of Object.entries(changes)) if (n > 0) parts.push(count(n, name));
  const ms = Number.parseFloat(metric.match(/;\s*dur=([\d.]+)/)?.[1]);
  return { text: parts.join(", ") || "none", ms: Number.isNaN(ms) ? null : ms };
}
