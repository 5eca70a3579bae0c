// The consistency lab: plays histories that the simulator has recorded (`npm run lab`). A history
// is a list of steps, and a step is everything as it then was; nothing is worked out here.

import { byId, el, onPress, setEnabled, setText } from "./dom.js";

const SIDES = [0, 1];

export function labView() {
  const stage = byId("lab-stage");
  const slider = byId("lab-step");
  const stories = [...document.querySelectorAll("input[name=story]")];
  const histories = new Map();
  /** Why a history could not be fetched. */
  const troubles = new Map();
  let history = null;
  let at = 0;

  const go = (step) => {
    if (history === null) return;
    at = Math.min(Math.max(step, 0), history.steps.length - 1);
    show(history, at);
  };

  const chosen = () => stories.find((story) => story.checked).value;

  const open = () => {
    history = histories.get(chosen()) ?? null;
    const trouble = troubles.get(chosen());
    setText(byId("lab-next"), trouble === undefined ? "Next" : "Try again");
    if (history === null) return showNone(trouble);
    layOut(history, go);
    go(0);
  };

  stories.forEach((story) => story.addEventListener("change", open));
  onPress(byId("lab-first"), () => go(0), { overlap: true });
  onPress(byId("lab-back"), () => go(at - 1), { overlap: true });
  onPress(byId("lab-next"), () => (history === null ? fetchMissing() : go(at + 1)), { overlap: true });
  slider.addEventListener("input", () => go(slider.valueAsNumber));
  stage.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined || event.target === slider || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    go(at + by);
  });

  const fetchOne = async (name) => {
    try {
      const response = await fetch(`/lab/${name}.json`);
      if (!response.ok) throw new Error(`status ${response.status}`);
      histories.set(name, unfolded(await response.json()));
      troubles.delete(name);
    } catch (error) {
      troubles.set(name, error.message);
    }
    if (name === chosen() && history === null) open();
  };

  // All of them, at once: what is on the page works when nothing answers any more.
  const fetchMissing = () => {
    troubles.clear();
    open();
    for (const { value } of stories) if (!histories.has(value)) fetchOne(value);
  };
  fetchMissing();
}

/** The stage without a history: it is on its way, or there is a `trouble`. */
function showNone(trouble) {
  for (const id of ["lab-rows", "lab-jars", "lab-track"]) byId(id).replaceChildren();
  for (const id of ["lab-about", "lab-when"]) setText(byId(id), "\u00a0");
  for (const id of ["lab-count", "lab-why", "lab-work-0", "lab-work-1"]) setText(byId(id), "");
  setText(byId("lab-text"), trouble === undefined ? "Fetching the history…" : `The history could not be fetched (${trouble}).`);
  byId("lab-step").max = 0;
  for (const id of ["lab-first", "lab-back"]) setEnabled(byId(id), false);
  setEnabled(byId("lab-next"), trouble !== undefined);
}

/** A step tells of `rows`, `cookies` and `running` only what is new: here each has all of them. */
function unfolded(history) {
  let last = {};
  const steps = history.steps.map((step) => {
    last = { rows: last.rows, cookies: last.cookies, running: last.running, ...step };
    return last;
  });
  const names = [...new Set(steps.flatMap(({ rows }) => rows.map(({ name }) => name)))];
  // Records first, then the markers against them, then the rows of an object.
  const rank = (name) => ["record", "marker", "row"].findIndex((kind) => name.startsWith(kind));
  names.sort((one, other) => rank(one) - rank(other));
  const people = [...new Set(steps.map(({ who }) => who).filter((who) => who !== undefined))];
  return { ...history, steps, names, people };
}

/** What stays the same from step to step. */
function layOut(history, go) {
  setText(byId("lab-about"), history.about);
  for (const side of SIDES) {
    setText(byId(`lab-place-${side}`), history.places[side]);
    setText(byId(`lab-lane-${side}`), lanesOf(history)[side]);
  }
  byId("lab-step").max = history.steps.length - 1;
  byId("lab-track").replaceChildren(
    ...history.steps.map((step, n) => {
      const mark = el("button", { type: "button", "data-place": step.place ?? "both", onclick: () => go(n) });
      // The column says where to those who see it.
      const place = placeOf(history, step) ? [el("span", { class: "visually-hidden" }, `${placeOf(history, step)}: `)] : [];
      const who = step.who === undefined ? [] : [el("b", { "data-who": history.people.indexOf(step.who) % 3 }, step.who), " "];
      mark.append(el("span", { class: "at" }, seconds(step.at)), " ", el("span", { class: "what" }, ...place, ...who, step.short));
      return el("li", {}, mark);
    }),
  );
}

function show(history, n) {
  const step = history.steps[n];
  const before = history.steps[n - 1];
  const last = history.steps.length - 1;

  const slider = byId("lab-step");
  slider.value = n;
  slider.setAttribute("aria-valuetext", `${n + 1} of ${last + 1}: ${step.short}`);
  setText(byId("lab-count"), `${n + 1} of ${last + 1}`);
  setEnabled(byId("lab-first"), n > 0);
  setEnabled(byId("lab-back"), n > 0);
  setEnabled(byId("lab-next"), n < last);

  setText(byId("lab-when"), [`${seconds(step.at)} s`, placeOf(history, step) ?? step.short].join(" · "));
  setText(byId("lab-text"), step.text);
  setText(byId("lab-why"), step.why ?? "");

  for (const side of SIDES) setText(byId(`lab-work-${side}`), step.running[side].map((who) => `${who} at work`).join(", "));
  byId("lab-rows").replaceChildren(...history.names.map((name) => rowOf(history, name, step, before)));
  byId("lab-jars").replaceChildren(...history.browsers.map((browser, i) => jarOf(browser, i, step, before)));
  mark(n);
}

/** The columns of the time line: two places, or two stores. */
const lanesOf = ({ places, lanes }) => lanes ?? places;

const placeOf = (history, { place }) => lanesOf(history)[place];

/** Seconds since the history began. */
const seconds = (ms) => (ms / 1000).toFixed(2);

const left = (until, { at }) => `${Math.round((until - at) / 1000)} s`;

function rowOf({ places }, name, step, before) {
  const [row, old] = [step, before].map((it) => it?.rows.find((row) => row.name === name));
  const cell = (label, pick, note) => {
    const [is, was] = [row, old].map((it) => it && pick(it));
    if (!is) return el("td", { role: "cell", "data-label": label }, el("span", { class: "sub" }, "nothing"));
    const differs = is.is !== row.store.is;
    const isNew = before !== undefined && is.is !== was?.is && !(was === undefined && is.is === "nothing");
    return el(
      "td",
      { role: "cell", "data-label": label, "data-tone": differs ? "odd" : null, "data-new": isNew },
      el("span", { class: "is" }, is.is),
      is.holds ? el("span", { class: "sub" }, is.holds) : "",
      el("span", { class: "sub" }, note(is)),
    );
  };
  const belief = (is) => (is.until === undefined ? "not cached" : `cached, ${left(is.until, step)} left`);
  // Locations have no copy of a row in an object.
  const at = (side) =>
    row && !row.places
      ? el("td", { role: "cell", "data-label": places[side] }, el("span", { class: "sub" }, "asks the object"))
      : cell(places[side], (it) => it.places[side], belief);
  return el(
    "tr",
    { role: "row" },
    el("th", { role: "rowheader", scope: "row" }, name[0].toUpperCase() + name.slice(1)),
    at(0),
    cell("The store", (it) => it.store, () => ""),
    at(1),
  );
}

function jarOf(browser, i, step, before) {
  const cookies = step.cookies[i].map(({ name, is, until }) => {
    const isNew = before !== undefined && !before.cookies[i].some((old) => old.name === name && old.is === is && old.until === until);
    const ends = until === undefined ? "" : `, ${left(until, step)} left`;
    return el("div", { "data-new": isNew }, el("dt", {}, name), el("dd", {}, is + ends));
  });
  const none = el("p", { class: "sub" }, "no cookie");
  return el("article", {}, el("h4", {}, browser), cookies.length ? el("dl", {}, ...cookies) : none);
}

/** Marks the step in the time line and brings it into sight there, without moving the page. */
function mark(n) {
  const items = [...byId("lab-track").children];
  items.forEach((item, i) => {
    const button = item.firstElementChild;
    if (i === n) button.setAttribute("aria-current", "step");
    else button.removeAttribute("aria-current");
    item.classList.toggle("to-come", i > n);
  });
  const scroll = byId("lab-scroll");
  const item = items[n];
  scroll.scrollTop = item.offsetTop - (scroll.clientHeight - item.offsetHeight) / 2;
}
