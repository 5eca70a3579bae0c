// Two seeded weeks of a shop with 200 visitors: what they ask, and when.

import { random } from "./host/stats.mjs";

const HOUR = 3_600_000;

/** Kinds of requests and the method that contenders know them by. */
const METHODS = { read: "GET", write: "PUT", untouched: "HEAD", login: "POST", logout: "DELETE", bot: "GET", forged: "GET" };

function shuffled(list, dice) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i -= 1) {
    const j = Math.floor(dice() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

/** What one visitor does in `n` requests: looks first, logs in soon, logs out last. */
function life(n, dice) {
  const writes = Math.round(n / 4);
  const reads = Math.round(n * 0.6);
  const middle = shuffled(
    [
      ...Array(writes).fill("write"),
      ...Array(reads - 1).fill("read"),
      ...Array(n - writes - reads - 2).fill("untouched"),
    ],
    dice,
  );
  middle.splice(Math.floor(dice() * 3), 0, "login");
  return ["read", ...middle, "logout"];
}

/** Visitors without a cookie, and cookies that somebody made up, between the others' requests. */
function strangers(lives, dice, span) {
  const events = [];
  const requests = lives.reduce((sum, events) => sum + events.length, 0);
  for (let i = 0; i < requests / 10; i += 1) events.push({ at: Math.floor(dice() * span), who: `bot-${i}`, kind: "bot" });
  for (let i = 0; i < requests / 20; i += 1) {
    // Made of the cookie of somebody who has one by then.
    const life = lives[Math.floor(dice() * lives.length)];
    const after = life[5 + Math.floor(dice() * (life.length - 7))];
    events.push({ at: after.at + 1, who: after.who, kind: "forged" });
  }
  return events;
}

function ordered(lives, others) {
  return [...lives.flat(), ...others]
    .sort((a, b) => a.at - b.at)
    .map((event) => ({ ...event, method: METHODS[event.kind] }));
}

/** 20 requests each, spread over a week. */
export function sparse({ sessions = 200, seed = 1 } = {}) {
  const dice = random(seed);
  const slot = (7 * 24 * HOUR - 2 * HOUR) / 20;
  const lives = [];
  for (let who = 0; who < sessions; who += 1) {
    // One request in each twentieth of the week: nobody stays away for a day.
    lives.push(life(20, dice).map((kind, i) => ({ at: Math.floor((i + dice()) * slot), who, kind })));
  }
  return ordered(lives, strangers(lives, dice, 20 * slot));
}

/** Five visits each, of 4 to 12 requests that are 2 to 40 seconds apart. */
export function bursty({ sessions = 200, seed = 2 } = {}) {
  const dice = random(seed);
  const lives = [];
  for (let who = 0; who < sessions; who += 1) {
    const times = [];
    for (let visit = 0; visit < 5; visit += 1) {
      let at = visit * 20 * HOUR + dice() * 3 * HOUR;
      const requests = 4 + Math.floor(dice() * 9);
      for (let i = 0; i < requests; i += 1) {
        times.push(Math.floor(at));
        at += 2_000 + dice() * 38_000;
      }
    }
    lives.push(life(times.length, dice).map((kind, i) => ({ at: times[i], who, kind })));
  }
  return ordered(lives, strangers(lives, dice, 84 * HOUR));
}

export const TRACES = { sparse, bursty };
