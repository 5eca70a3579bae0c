// What two traces cost on the wire: KV operations, bytes, dollars.

import { CONTENDERS, KV_PEERS, OURS, install, titleOf } from "./host/contenders.mjs";
import { TRACES } from "./trace.mjs";

const START = Date.UTC(2026, 0, 5);

/** Dollars of one operation (https://developers.cloudflare.com/kv/platform/pricing/). */
const PRICE = { keysRead: 0.5e-6, puts: 5e-6, deletes: 5e-6, lists: 5e-6 };

/** Settings that are measured beside the defaults. */
const VARIANTS = {
  "ours-js": {
    "without the isolate's table": { OPTIONS: { isolateCacheTtl: 0 } },
    "isolate's table 30 s": { OPTIONS: { isolateCacheTtl: 30 } },
    "isolate's table 60 s": { OPTIONS: { isolateCacheTtl: 60 } },
    "without the overlay": { OPTIONS: { overlay: false } },
    "without the seal and the overlay": { OPTIONS: { seal: false } },
    "without an idle timeout": { OPTIONS: { idleTimeout: 0 } },
  },
  "react-router": { "commits each answer": { ROLLING: true } },
};

function total(sums) {
  const all = {};
  for (const sum of Object.values(sums)) {
    for (const [name, value] of Object.entries(sum)) all[name] = (all[name] ?? 0) + value;
  }
  return all;
}

export function dollarsPerMillion(sum) {
  const dollars = Object.entries(PRICE).reduce((all, [name, price]) => all + sum[name] * price, 0);
  return (dollars / sum.requests) * 1e6;
}

/** One contender through one trace, in an isolate of its own. */
export async function replay(name, events, { vars = {}, start = START, objects = false } = {}) {
  const isolate = await (await install(name, { objects })).start();
  await isolate.tell("settings", { vars });
  const { sums, keys, objectHours } = await isolate.tell("trace", { events, start });
  await isolate.stop();
  return { sums, keys, objectHours, total: total(sums) };
}

export async function wire({ quick = false, only, log }) {
  const names = only ?? CONTENDERS;
  const titles = {};
  for (const name of names) titles[name] = await titleOf(name);
  const traces = {};
  for (const [trace, make] of Object.entries(TRACES)) {
    const events = make(quick ? { sessions: 20 } : {});
    const rows = (traces[trace] = []);
    for (const name of names) {
      log(`${trace} trace: ${name}`);
      rows.push({ name, title: titles[name], ...(await replay(name, events)) });
      for (const [variant, vars] of Object.entries(VARIANTS[name] ?? {})) {
        rows.push({ name, variant, title: `${titles[name]}, ${variant}`, ...(await replay(name, events, { vars })) });
      }
    }
  }
  return { traces };
}

export function report({ traces }, print) {
  for (const [trace, rows] of Object.entries(traces)) {
    const { requests } = rows[0].total;
    const cheapest = rows
      .filter(({ name }) => KV_PEERS.includes(name))
      .sort((a, b) => dollarsPerMillion(a.total) - dollarsPerMillion(b.total))[0];
    print("", `The ${trace} trace, ${requests} requests. Sums for all of it; dollars for a million such requests.`, "");
    print(
      `| | $ per million | over the cheapest KV peer | keys read | put | deleted | listed | kB read | kB put | Set-Cookie headers | kB of Set-Cookie | kB of Cookie |`,
      `|---|${"---|".repeat(11)}`,
    );
    for (const { title, total, name } of rows) {
      const dollars = dollarsPerMillion(total);
      const kb = (bytes) => (bytes / 1000).toFixed(0);
      const ratio = cheapest ? `${(dollars / dollarsPerMillion(cheapest.total)).toFixed(2)}x` : "-";
      print(
        `| ${title} | ${dollars.toFixed(2)} | ${ratio} | ${total.keysRead} | ${total.puts} | ${total.deletes} | ${total.lists} | ` +
          `${kb(total.bytesRead)} | ${kb(total.bytesPut)} | ${total.setCookies} | ${kb(total.setCookieBytes)} | ${kb(total.cookieBytes)} |`,
      );
      if (total.failed > 0) throw new Error(`${name}: ${total.failed} requests of the ${trace} trace failed`);
    }
  }
  guarantees(traces, print);
}

/** What the parts of the protocol cost, by the names of the keys that they touch. */
function guarantees(traces, print) {
  const of = (trace, variant) => traces[trace].find((row) => row.name === "ours-js" && row.variant === variant);
  if (!of("sparse")) return;
  print("", "What each guarantee costs, in dollars per million requests.", "");
  print("| guarantee | by | sparse | bursty |", "|---|---|---|---|");
  const dollars = (trace, part) => {
    const { keys, total } = of(trace);
    return (part(keys) / total.requests) * 1e6;
  };
  const row = (what, how, part) =>
    print(`| ${what} | ${how} | ${["sparse", "bursty"].map((trace) => dollars(trace, part).toFixed(2)).join(" | ")} |`);
  const read = (kind) => (keys) => (keys[kind]?.keysRead ?? 0) * PRICE.keysRead;
  const put = (kind) => (keys) => (keys[kind]?.puts ?? 0) * PRICE.puts;
  row("the session itself", "record read", read("s"));
  row("", "record put", put("s"));
  row("logout sticks", "marker of the key read with each load", read("k"));
  row("", "marker of the key put at logout, login over a session, rotation", put("k"));
  row("a rotated copy of a stolen cookie dies too", "marker of the lineage read, where the key was rotated", read("l"));
  row("", "marker of the lineage put at logout and login over a session", put("l"));
  row("log out everywhere", "marker of the owner read, where there is an owner", read("o"));
  row("", "marker of the owner put", put("o"));
  print("");
  const spared = (trace) => of(trace, "without the isolate's table").total.keysRead - of(trace).total.keysRead;
  const bytes = (trace, variant) =>
    Math.round((of(trace, variant).total.setCookieBytes - of(trace).total.setCookieBytes) / of(trace).total.requests);
  print(
    `Keys whose reading the isolate's table spared: ${spared("sparse")} in the sparse trace, ${spared("bursty")} in the bursty one.`,
    `The overlay (read your writes before KV shows them) is ${-bytes("sparse", "without the overlay")} and ${-bytes("bursty", "without the overlay")} bytes of Set-Cookie a request;`,
    `the idle timeout, which slides in a cookie, ${-bytes("sparse", "without an idle timeout")} and ${-bytes("bursty", "without an idle timeout")} bytes, and no KV operation.`,
  );
}

/** The operations of ours in both traces, for the budget that CI compares with. */
export async function operations() {
  const found = {};
  for (const [trace, make] of Object.entries(TRACES)) {
    const { total } = await replay(OURS[0], make());
    const { requests, reads, keysRead, puts, deletes, lists, setCookies, failed } = total;
    found[trace] = { requests, reads, keysRead, puts, deletes, lists, setCookies, failed };
  }
  return found;
}
