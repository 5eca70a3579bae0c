// Requests a second over HTTP, on the runtime's own KV: what a user sees.
//
// Each contender runs in a workerd of its own with a KV namespace of Miniflare, which stores on disk.
// Sixteen connections send requests, each the next as soon as it has an answer, and each as a browser
// with its own session. Samples of all contenders alternate. The load is made on the same cores.

import { readFileSync } from "node:fs";
import { Agent, request as httpRequest } from "node:http";

import { Stop, inRoot } from "../scripts/run.mjs";
import { bundle } from "./host/bundle.mjs";
import { KV_PEERS, OURS, titleOf } from "./host/contenders.mjs";
import { summary } from "./host/stats.mjs";

const CONNECTIONS = 16;
const SIZE = 2_000;
const SECRET = "Wn4yq0JtRkS7vE2mHcZx8aLdUoPb5fTgQi1YsXe9";

const CELLS = [
  { id: "none", title: "no session", method: "HEAD" },
  { id: "read", title: "read, 2 kB", method: "GET" },
  { id: "write", title: "read and write, 2 kB", method: "PUT" },
  { id: "destroy", title: "destroy", method: "DELETE", once: true },
  { id: "forged", title: "forged cookie, read", method: "GET", forged: true },
];

/** A browser's cookies. The bench is over before any of them expires. */
class Cookies {
  #values = new Map();

  take(lines = []) {
    for (const line of lines) {
      const pair = line.slice(0, line.search(/;|$/));
      const mark = pair.indexOf("=");
      if (/;\s*max-age=0\b|;\s*expires=Thu, 01 Jan 1970/i.test(line)) this.#values.delete(pair.slice(0, mark));
      else this.#values.set(pair.slice(0, mark), pair);
    }
  }

  header() {
    return [...this.#values.values()].join("; ");
  }
}

/** A contender in workerd, with its own namespace. */
class Site {
  #worker;
  #agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

  static async start(name) {
    const { Log, LogLevel, Miniflare, convertV4MiniflareOptions } = await import("miniflare");
    const { script, wasm } = await bundle(`
      import contender from "./contenders/${name}.mjs";
      import { dataOf } from "./isolate/data.mjs";
      let known;
      export default {
        fetch(request, env, ctx) {
          if (request.headers.has("x-forge")) return new Response(contender.forge(request.headers.get("cookie")));
          known ??= { SESSIONS: env.SESSIONS, SESSION_SECRET: env.SESSION_SECRET, DATA: dataOf(${SIZE}) };
          return contender.fetch(request, known, ctx);
        },
      };`);
    const date = /^compatibility_date = "([^"]+)"/m.exec(readFileSync(inRoot("wrangler.toml"), "utf8"))[1];
    const site = new Site();
    site.#worker = new Miniflare(
      convertV4MiniflareOptions({
        modules: [
          { type: "ESModule", path: "worker.js", contents: script },
          ...wasm.map(({ name: path, bytes }) => ({ type: "CompiledWasm", path, contents: bytes })),
        ],
        compatibilityDate: date,
        compatibilityFlags: ["nodejs_compat"],
        kvNamespaces: ["SESSIONS"],
        bindings: { SESSION_SECRET: SECRET },
        cf: false,
        log: new Log(LogLevel.ERROR),
        // Some contenders write a line for each forged cookie.
        handleStructuredLogs() {},
      }),
    );
    site.url = await site.#worker.ready;
    return site;
  }

  stop() {
    this.#agent.destroy();
    return this.#worker.dispose();
  }

  /** The text of the answer, whose cookies `jar` takes. */
  ask(method, jar, more = {}) {
    return new Promise((resolve, reject) => {
      const cookie = jar?.header();
      const headers = { ...more, ...(cookie && { cookie }) };
      const sent = httpRequest(this.url, { method, headers, agent: this.#agent }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk) => (text += chunk));
        response.on("end", () => {
          if (response.statusCode !== 200) return reject(new Stop(`${response.statusCode} ${text}`));
          jar?.take(response.headers["set-cookie"]);
          resolve(text);
        });
      });
      sent.on("error", reject).end();
    });
  }

  /** A browser with a session. */
  async browser() {
    const jar = new Cookies();
    await this.ask("POST", jar);
    return jar;
  }

  /** A browser with the cookies of another, forged. */
  async forger(jar) {
    const forged = await this.ask("GET", jar, { "x-forge": "1" });
    return { header: () => forged, take() {} };
  }

  /** Requests a second: `lane` is called again and again by each connection until the time is over. */
  async rate(milliseconds, lane) {
    let count = 0;
    const begun = performance.now();
    const run = async (n) => {
      while (performance.now() - begun < milliseconds) {
        if ((await lane(n)) === false) return;
        count += 1;
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, (_, n) => run(n)));
    return (count * 1000) / (performance.now() - begun);
  }
}

/** Requests a second of each cell and contender. */
export async function http({ quick = false, only, log }) {
  const names = only ?? ["floor", ...OURS, ...KV_PEERS.slice(0, 3), "iron-session"];
  const [rounds, milliseconds] = quick ? [3, 300] : [7, 1_000];
  const sites = {};
  const titles = {};
  for (const name of names) {
    titles[name] = await titleOf(name);
    sites[name] = await Site.start(name);
  }
  const results = Object.fromEntries(CELLS.map(({ id, title }) => [id, { title, rates: {} }]));
  for (const { id, title, method, once, forged } of CELLS) {
    log(`over HTTP: ${title}`);
    const jars = {};
    const rates = Object.fromEntries(names.map((name) => [name, []]));
    for (const name of names) {
      const site = sites[name];
      jars[name] = await Promise.all(
        Array.from({ length: CONNECTIONS }, async () => {
          const jar = await site.browser();
          return forged ? site.forger(jar) : jar;
        }),
      );
      if (!once) await site.rate(milliseconds, (n) => site.ask(method, jars[name][n])); // until it is compiled
    }
    for (let round = 0; round < rounds; round += 1) {
      for (let i = 0; i < names.length; i += 1) {
        const name = names[(i + round) % names.length];
        const site = sites[name];
        let lane = (n) => site.ask(method, id === "none" ? undefined : jars[name][n]);
        if (once) {
          // Each session ends once, so they are made before.
          const made = [];
          while (made.length < (quick ? 100 : 400)) made.push(...(await Promise.all(jars[name].map(() => site.browser()))));
          lane = () => {
            const jar = made.pop();
            return jar ? site.ask(method, jar) : false;
          };
        }
        rates[name].push(await site.rate(once ? 60_000 : milliseconds, lane));
      }
    }
    for (const name of names) results[id].rates[name] = summary(rates[name]);
  }
  for (const site of Object.values(sites)) await site.stop();
  return { titles, results };
}

export function report({ titles, results }, print) {
  print("", `Requests a second over HTTP, ${CONNECTIONS} connections, KV of Miniflare: the median, and the middle half of the samples.`, "");
  const cells = Object.values(results);
  print(`| | ${cells.map(({ title }) => title).join(" | ")} |`, `|---|${"---|".repeat(cells.length)}`);
  const whole = (x) => Math.round(x).toLocaleString("en");
  for (const [name, title] of Object.entries(titles)) {
    const told = cells.map(({ rates }) => {
      const { median, low, high } = rates[name];
      return `${whole(median)} (${whole(low)} to ${whole(high)})`;
    });
    print(`| ${title} | ${told.join(" | ")} |`);
  }
}
