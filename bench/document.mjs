// `npm run bench -- document`: the tables and plots of docs/performance.md, from bench/results/; with the
// name of a part, only its own section.
// This file writes what is between two marks of the page; the rest is written by hand.

import { mkdirSync, readFileSync, writeFileSync, existsSync } from "node:fs";

import { Stop, inRoot, say } from "../scripts/run.mjs";
import * as cpu from "./cpu.mjs";
import * as growth from "./growth.mjs";
import * as instructions from "./instructions.mjs";
import { KV_PEERS } from "./host/contenders.mjs";
import { plot } from "./host/plot.mjs";
import * as objects from "./objects.mjs";
import * as size from "./size.mjs";
import * as soak from "./soak.mjs";
import * as where from "./where.mjs";
import * as wire from "./wire.mjs";

const PAGE = inRoot("docs", "performance.md");

function result(part) {
  const file = inRoot("bench", "results", `${part}.json`);
  if (!existsSync(file)) throw new Stop(`${part} has not been measured in full: npm run bench -- ${part}`);
  return JSON.parse(readFileSync(file, "utf8"));
}

const text = (write) => {
  const lines = [];
  write((...more) => lines.push(...more));
  return lines.join("\n").trim();
};

/** The table of calls between JavaScript and wasm. */
function crossings({ crossings }) {
  return text((print) => {
    print("| request | from JavaScript: calls into wasm, out of it | from Rust: calls into wasm, out of it |", "|---|---|---|");
    const [js, rust] = [crossings["ours-js"], crossings["ours-rust"]];
    for (const title of new Set([...Object.keys(js), ...Object.keys(rust)])) {
      const cell = (found) => (found ? `${found.into}, ${found.outOf}` : "-");
      print(`| ${title} | ${cell(js[title])} | ${cell(rust[title])} |`);
    }
  });
}

/** What this project set out to reach, and where it is. */
function reach({ cpu, wire: { traces }, size, soak }) {
  return text((print) => {
    print("| | goal | from JavaScript | from Rust |", "|---|---|---|---|");
    const { results } = cpu;
    const row = (what, goal, cell) => {
      const told = ["ours-js", "ours-rust"].map((name) => {
        const [value, reached] = cell(name);
        return reached === undefined ? value : `${value}: ${reached ? "reached" : "**missed**"}`;
      });
      print(`| ${what} | ${goal} | ${told.join(" | ")} |`);
    };
    const us = (x) => `${x < 10 ? x.toFixed(1) : x.toFixed(0)} µs`;
    const contender = (id, name) => results[id].contenders[name].median;
    for (const [id, what] of [["untouched", "untouched, `handle_lazy`"], ["handle", "untouched, `handle`"]]) {
      row(`${what}, no cookie`, "at most 3 µs, 0 KV operations", (name) => {
        const isRust = name === "ours-rust";
        const over = contender(isRust ? `${id} over rust` : id, name);
        return [`${us(over)}${isRust ? " over a Worker in Rust" : ""}`, over <= 3];
      });
    }
    const router = contender("forged", "react-router");
    row("forged cookie", `half of React Router's ${us(router)}`, (name) => {
      const mine = contender("forged", name);
      return [us(mine), mine <= router / 2];
    });
    for (const size of ["100 B", "2 kB", "64 kB"]) {
      for (const [kind, what] of [["read", "read"], ["write", "read and write"]]) {
        const id = `${kind} ${size}`;
        const fastest = Math.min(...KV_PEERS.map((name) => contender(id, name)));
        const share = size === "64 kB" ? 1 : 0.5;
        row(`${what}, ${size}`, `${share === 1 ? "the" : "half of the"} fastest KV peer's ${us(fastest)}`, (name) => {
          const mine = contender(id, name);
          return [us(mine), mine <= fastest * share];
        });
      }
    }
    const dollars = (trace, name) => {
      const found = traces[trace].find((row) => row.name === name && !row.variant);
      return wire.dollarsPerMillion(found.total);
    };
    row("sparse trace", "$3.20 per million requests", (name) => {
      const mine = dollars("sparse", name);
      return [`$${mine.toFixed(2)}`, mine <= 3.2];
    });
    const cheapest = Math.min(...KV_PEERS.map((name) => dollars("bursty", name)));
    row("bursty trace", `1.2 times the cheapest KV peer's $${cheapest.toFixed(2)}`, (name) => {
      const mine = dollars("bursty", name);
      return [`$${mine.toFixed(2)}`, mine <= 1.2 * cheapest];
    });
    row("bytes added, gzip", "60 kB", (name) => {
      const { bytes, rust } = size.rows[name];
      const { gzip } = (rust?.over ?? bytes).total;
      return [`${(gzip / 1000).toFixed(1)} kB${rust ? " over a Worker in Rust" : ""}`, gzip <= 60_000];
    });
    for (const [method, what] of [["HEAD", "untouched"], ["POST", "a login"]]) {
      row(`start, first request ${what}`, "5 ms over no session", (name) => {
        const { wall, cpu } = size.rows[name].starts[method];
        return [`${wall.median.toFixed(0)} ms, ${cpu.median.toFixed(0)} ms of CPU`, wall.median <= 5];
      });
    }
    row("200,000 requests", "wasm memory and live objects the same at 20,000 and at the end", (name) => [
      `${(soak[name].points.at(-1).memory / 1e6).toFixed(1)} MB`,
      soak[name].same,
    ]);
  });
}

function plots({ about, ...found }) {
  mkdirSync(inRoot("docs", "performance"), { recursive: true });
  return Object.entries(found).map(([id, { title, unit, series, rows }]) => {
    const panels = [
      {
        title: "Time",
        xTitle: `${title}, ${unit}`,
        yTitle: "microseconds of CPU over no session",
        series: Object.entries(series).map(([name, title]) => ({
          title,
          points: rows.map((row) => [row.x, row[name].median, row[name].low, row[name].high]),
        })),
      },
      {
        title: "Memory",
        xTitle: `${title}, ${unit}`,
        yTitle: "MB of wasm memory",
        series: [{ title: "wasm memory", points: rows.map((row) => [row.x, row.memory / 1e6]) }],
      },
    ];
    const description = `Time and memory against: ${title.toLowerCase()}`;
    writeFileSync(inRoot("docs", "performance", `${id}.svg`), plot({ description, panels }));
    return `![${description}](performance/${id}.svg)`;
  });
}

/** Sections that need nothing but their own part. */
const REPORTS = {
  wire: (measured) => text((print) => wire.report(measured, print)),
  objects: (measured) => text((print) => objects.report(measured, print)),
};

/** The sections of the page by the names of their marks. */
function sections() {
  const measured = Object.fromEntries(["cpu", "wire", "objects", "size", "growth", "profile", "where", "soak"].map((part) => [part, result(part)]));
  const { about } = measured.cpu;
  const [data, ...rest] = plots(measured.growth);
  return {
    about: text((print) => {
      print("| | |", "|---|---|");
      for (const [name, value] of Object.entries(about)) print(`| ${name} | ${value} |`);
      // Parts may be measured again, each by itself.
      const later = Object.entries(measured).filter(([, part]) => part.about?.["edge-session"] !== about["edge-session"]);
      for (const [name, part] of later) print(`| measured by itself: ${name} | ${part.about?.["edge-session"] ?? "another commit"} |`);
    }),
    reach: reach(measured),
    cpu: text((print) => cpu.report(measured.cpu, print)),
    crossings: crossings(measured.cpu),
    wire: REPORTS.wire(measured.wire),
    objects: REPORTS.objects(measured.objects),
    size: text((print) => size.report(measured.size, print)),
    growth: `${[data, ...rest].join("\n\n")}\n\n${text((print) => growth.report(measured.growth, print))}`,
    profile: text((print) => instructions.report(measured.profile, print)),
    where: text((print) => where.report(measured.where, print)),
    soak: text((print) => soak.report(measured.soak, print)),
  };
}

function only(part) {
  if (!REPORTS[part]) throw new Stop(`${part} is not written by itself: ${Object.keys(REPORTS).join(" or ")}`);
  return [part, REPORTS[part](result(part))];
}

export function document(parts = []) {
  let page = readFileSync(PAGE, "utf8");
  const written = parts.length ? parts.map(only) : Object.entries(sections());
  for (const [name, section] of written) {
    const [start, end] = [`<!-- bench: ${name} -->`, `<!-- /bench: ${name} -->`];
    const from = page.indexOf(start);
    const to = page.indexOf(end);
    if (from < 0 || to < from) throw new Stop(`docs/performance.md has no place for ${name}`);
    page = `${page.slice(0, from + start.length)}\n${section}\n${page.slice(to)}`;
  }
  writeFileSync(PAGE, page);
  say("docs/performance.md and docs/performance/ are written");
}
