// The examples in the comments of the types, each compiled unchanged by `tsc --strict`, for a session with a
// shape and for one without. Those of the adapters need their frameworks: tests/frameworks/support/types.mjs.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { examplesOf, isModule } from "./support/examples.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const pkg = join(root, "pkg");
// Inside the repository, so that Hono is found.
const out = join(root, "target", "types-examples");

/** The files of types, and what is imported from them. */
const FILES = {
  "index.d.ts": "edge-session",
  "hono.d.ts": "edge-session/hono",
  "testing.d.ts": "edge-session/testing",
};

/** Names that the examples use without declaring them. */
const PRELUDE = `
import { ManualClock, MemoryConnector, SessionStore, Sessions } from "edge-session";
import type { KvNamespace, OwnedSession } from "edge-session";
import { testWorld, type TestBrowser, type TestWorld } from "edge-session/testing";
interface Shop {
  views: number;
  cart: string[];
  theme: string;
  step: number;
  next: string;
  name: string;
  role: string;
  seen: boolean;
}
declare const session: SessionStore<SHAPE>;
declare const sessions: Sessions<SHAPE>;
declare const request: Request;
declare const ctx: { waitUntil(promise: Promise<unknown>): void };
declare const url: URL;
declare const secret: string;
declare const env: {
  SESSIONS: KvNamespace;
  SESSION_SECRET: string;
  ANALYTICS: { writeDataPoint(point: { blobs: string[]; doubles: number[] }): void };
};
declare const devices: OwnedSession[];
declare const reply: { headers: Headers };
declare const jar: { set(name: string, value: string, options: object): void };
declare const world: TestWorld<SHAPE>;
declare const browser: TestBrowser<SHAPE>;
declare const worker: { fetch(request: Request): Response };
declare function about(): Response;
declare function page(session: SessionStore<SHAPE>): Response;
declare function greet(name: string | undefined): void;
`;

/** The errors of tsc for the examples. */
function errorsOf(blocks) {
  const bodies = blocks.filter((block) => !isModule(block));
  const text = bodies.map(({ where, code }) => `// ${where}\nvoid async function () {\n${code}};\n`).join("");
  const sources = [
    ...["Shop", "any"].map((shape) => PRELUDE.replaceAll("SHAPE", shape) + text),
    ...blocks.filter(isModule).map(({ where, code }) => `// ${where}\n${code}`),
  ];
  const files = sources.map((source, i) => {
    writeFileSync(join(out, `${i}.ts`), source);
    return `${i}.ts`;
  });
  const compilerOptions = {
    ...{ target: "es2024", module: "esnext", moduleResolution: "bundler", lib: ["es2024", "dom", "dom.iterable"] },
    ...{ strict: true, noEmit: true, types: [] },
    paths: Object.fromEntries(
      Object.entries(FILES).map(([file, name]) => [name, [join(pkg, file)]]),
    ),
  };
  writeFileSync(join(out, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", out], { encoding: "utf8" });
  return status === 0 ? "" : stdout;
}

before(() => mkdirSync(out, { recursive: true }));
after(() => rmSync(out, { recursive: true, force: true }));

test("the examples in the types compile under --strict", () => {
  const blocks = Object.keys(FILES).flatMap((file) => examplesOf(join(pkg, file)));
  assert.ok(blocks.length > 30, `${blocks.length} examples`);
  assert.equal(errorsOf(blocks), "");
});

test("an example that is wrong does not compile", () => {
  const wrong = errorsOf([{ where: "nowhere", code: "await sessions.list(session.owner);\n" }]);
  assert.match(wrong, /string \| null/);
});
