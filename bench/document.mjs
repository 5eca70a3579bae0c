// `npm run bench -- document`: the tables and plots of docs/performance.md, from bench/results/; with the
// name of a part, only its own section.
// This file writes what is between two marks of the page; the rest is written by hand.

import { mkdirSync, readFileSync, writeFileSync, existsSync } from "node:fs";

import { Stop, inRoot, say } from "../scripts/run.mjs";
import * as cpu from "./cpu.mjs";
import * as growth from "./growth.mjs";
import * as http from "./http.mjs";
import * as instructions from "./instructions.mjs";
import { KV_PEERS, OURS } from "./host/contenders.mjs";
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
function reach({ cpu, http, wire: { traces }, size }) {
  return text((print) => {
    print("| | compared with | goal, at most | stretch goal | from JavaScript | from Rust |", "|---|---|---|---|---|---|");
    const row = (what, than, most, stretch, values, show) => {
      const told = values.map((value) => (value === undefined ? "-" : `${show(value)}: ${value <= most ? (value <= stretch ? "**stretch goal reached**" : "reached") : "missed"}`));
      print(`| ${what} | ${than} | ${show(most)} | ${show(stretch)} | ${told.join(" | ")} |`);
    };
    const times = (x) => `${x.toFixed(2)}x`;
    const us = (x) => `${x < 10 ? x.toFixed(1) : x.toFixed(0)} µs`;
    const { results } = cpu;
    const cell = (id, name) => results[id].contenders[name].median;
    /** A row of ratios to the fastest peer that keeps its sessions in KV. */
    const ratios = (id, what, most, stretch) => {
      const fastest = Math.min(...KV_PEERS.map((name) => cell(id, name)));
      row(`${what}, CPU`, `the fastest KV peer's ${us(fastest)}`, most, stretch, OURS.map((name) => cell(id, name) / fastest), times);
    };
    for (const bytes of ["100 B", "2 kB"]) ratios(`read ${bytes}`, `read, ${bytes}`, 0.7, 0.5);
    for (const bytes of ["100 B", "2 kB"]) ratios(`write ${bytes}`, `read and write, ${bytes}`, 0.9, 0.5);
    ratios("read 64 kB", "read, 64 kB", 0.9, 0.7);
    ratios("write 64 kB", "read and write, 64 kB", 1, 0.7);
    ratios("forged", "forged cookie", 0.5, 0.3);
    ratios("destroy 100 B", "destroy", 1.2, 0.8);
    const rate = (name) => http.results.write.rates[name].median;
    const peers = Object.keys(http.titles).filter((name) => KV_PEERS.includes(name));
    const best = Math.max(...peers.map(rate));
    const told = OURS.map((name) => {
      const mine = rate(name);
      return `${Math.round(mine).toLocaleString("en")}: ${mine >= best ? (mine >= rate("floor") ? "**stretch goal reached**" : "reached") : "missed"}`;
    });
    const count = (x) => Math.round(x).toLocaleString("en");
    print(`| read and write, 2 kB, over HTTP, requests a second | the best KV peer's ${count(best)} | at least that | ${count(rate("floor"))}, hand-written | ${told.join(" | ")} |`);
    const kilobytes = (x) => `${(x / 1000).toFixed(1)} kB`;
    const { bytes } = size.rows["ours-js"];
    const { rust } = size.rows["ours-rust"];
    row("the package, gzip", "", 95_000, 60_000, [bytes.total.gzip, undefined], kilobytes);
    row("bytes added to a Worker in Rust, gzip", "", 100_000, 60_000, [undefined, rust.over.total.gzip], kilobytes);
    for (const [method, what, most, stretch] of [["HEAD", "untouched", 5, 2], ["POST", "a login", 9, 4]]) {
      row(`start, first request ${what}`, "no session", most, stretch, OURS.map((name) => size.rows[name].starts[method].wall.median), (x) => `${x.toFixed(0)} ms`);
    }
    const dollars = (name) => wire.dollarsPerMillion(traces.bursty.find((row) => row.name === name && !row.variant).total);
    const cheapest = Math.min(...KV_PEERS.map(dollars));
    row("bursty trace, dollars", `the cheapest KV peer's $${cheapest.toFixed(2)}`, 1.3, 1, OURS.map((name) => dollars(name) / cheapest), times);
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
  http: (measured) => text((print) => http.report(measured, print)),
  wire: (measured) => text((print) => wire.report(measured, print)),
  objects: (measured) => text((print) => objects.report(measured, print)),
};

/** The sections of the page by the names of their marks. */
function sections() {
  const measured = Object.fromEntries(["cpu", "http", "wire", "objects", "size", "growth", "profile", "where", "soak"].map((part) => [part, result(part)]));
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
    http: REPORTS.http(measured.http),
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
