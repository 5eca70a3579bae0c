// `node scripts/floors.mjs`: reads the imports of the files in src/, and fails if one points to a higher
// floor or if files import each other in a circle. With `--lines` it prints the lines of code of each
// floor. Part of `npm run check`.
//
// An import is a path that begins with `crate::`, `super::`, `self::` or one of the file's own modules, in a
// `use` line or anywhere else in the code. A path to a name that a `mod.rs` re-exports is an import of the
// file that defines it, and the re-export itself is not an import. Comments and `#[cfg(test)]` modules are not read.

import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { Stop, inRoot, isProgram, main } from "./run.mjs";

/** The floors from the bottom up. The files in src/ itself are above all of them. */
const FLOORS = ["port", "protocol", "session", "flow", "face"];
const TOP = FLOORS.length;

/** The source without comments and strings, with the same structure. */
function code(source) {
  return source.replace(
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|b?r(#*)"[\s\S]*?"\1|b?"(?:\\[\s\S]|[^"\\])*"|b?'(?:\\[^']+|[^'\\])'/g,
    (found) => (found.startsWith("/") ? "" : '""'),
  );
}

/** The position after the brace that closes the one at `open`. */
function closed(text, open) {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at + 1;
  }
  return text.length;
}

/** The code without its test modules. */
function withoutTests(text) {
  for (;;) {
    const test = /#\[cfg\((?:test|all\(test\b[^\]]*)\)?\)?\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+\s*\{/.exec(text);
    if (!test) return text;
    const open = test.index + test[0].length - 1;
    text = text.slice(0, test.index) + text.slice(closed(text, open));
  }
}

/** The paths in a nested import: `a::{b, c::{d, self}}` is `a::b`, `a::c::d` and `a::c`. */
function expand(tree, before = "") {
  const open = tree.indexOf("{");
  if (open < 0) {
    const path = tree.trim().replace(/\s+as\s+\w+$/, "").replace(/\s+/g, "");
    return path ? [before + path.replace(/(::)?self$/, (found) => (before || found === "::self" ? "" : found))] : [];
  }
  const head = before + tree.slice(0, open).replace(/\s+/g, "");
  const inside = tree.slice(open + 1, closed(tree, open) - 1);
  const parts = [];
  let depth = 0;
  let part = "";
  for (const letter of inside) {
    if (letter === "{") depth++;
    if (letter === "}") depth--;
    if (letter === "," && depth === 0) {
      parts.push(part);
      part = "";
    } else part += letter;
  }
  return [...parts, part].flatMap((it) => expand(it, head));
}

/** A file: its module, its floor, its imports, and what a `mod.rs` re-exports. */
function read(folder, file) {
  const steps = file.replace(/\.rs$/, "").split("/");
  if (steps.at(-1) === "mod" || file === "lib.rs") steps.pop();
  const floor = FLOORS.indexOf(steps[0]);
  const text = withoutTests(code(readFileSync(join(folder, file), "utf8")));
  const passedOn = new Map();
  const paths = [];
  const rest = text.replace(/\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);/g, (_, given, tree) => {
    const all = expand(tree);
    if (given && /(^|\/)(mod|lib)\.rs$/.test(file)) {
      const renamed = /\s+as\s+(\w+)\s*$/.exec(tree)?.[1];
      for (const path of all) passedOn.set(renamed ?? path.split("::").at(-1), path);
    } else paths.push(...all);
    return "";
  });
  paths.push(...(rest.match(/(?<![\w:$])[a-z]\w*(?:\s*::\s*\w+)+/g) ?? []).map((path) => path.replace(/\s+/g, "")));
  return { file, module: steps, floor: file === "mutant.rs" ? -1 : floor < 0 ? TOP : floor, paths, passedOn };
}

/** The files of `folder` and their imports. */
export function readFloors(folder = inRoot("src")) {
  const names = readdirSync(folder, { recursive: true }).map((name) => name.replaceAll("\\", "/"));
  const tests = /(^|\/)tests\.rs$/;
  const files = names.filter((name) => name.endsWith(".rs") && !tests.test(name)).map((name) => read(folder, name));
  const byModule = new Map(files.map((file) => [file.module.join("::"), file]));

  /** The file that defines the item at `path`, as seen from `from`. */
  function resolve(from, path, depth = 0) {
    let steps = path.split("::");
    let base = from.module;
    if (steps[0] === "crate") [base, steps] = [[], steps.slice(1)];
    else if (steps[0] === "self") steps = steps.slice(1);
    else if (steps[0] === "super") {
      while (steps[0] === "super") [base, steps] = [base.slice(0, -1), steps.slice(1)];
    } else if (!byModule.has([...base, steps[0]].join("::"))) return null;
    let file = byModule.get(base.join("::")) ?? null;
    while (steps.length && byModule.has([...base, steps[0]].join("::"))) {
      base = [...base, steps[0]];
      steps = steps.slice(1);
      file = byModule.get(base.join("::"));
    }
    const on = steps.length && depth < 8 ? file?.passedOn.get(steps[0]) : undefined;
    return on ? resolve(file, on, depth + 1) ?? file : file;
  }

  for (const file of files) {
    const found = file.paths.map((path) => resolve(file, path)).filter((to) => to && to !== file);
    file.imports = [...new Set(found)];
  }
  return files;
}

/** A shortest path from a file back to itself, or null. */
function circle(start) {
  const from = new Map();
  const queue = [start];
  for (const at of queue) {
    for (const to of at.imports) {
      // Reported separately, because one import that points up closes many circles.
      if (to.floor > at.floor) continue;
      if (to === start) {
        const way = [at];
        while (way[0] !== start) way.unshift(from.get(way[0]));
        return way;
      }
      if (!from.has(to)) {
        from.set(to, at);
        queue.push(to);
      }
    }
  }
  return null;
}

/** One line for each import that points up and for each circle. */
export function wrongArrows(files) {
  const wrong = [];
  const told = new Set();
  for (const file of files) {
    for (const to of file.imports) {
      if (to.floor > file.floor) wrong.push(`src/${file.file} imports src/${to.file}, which is on a higher floor`);
    }
    const way = circle(file);
    const names = way?.map((it) => `src/${it.file}`);
    const key = names?.toSorted().join();
    if (way && !told.has(key)) {
      told.add(key);
      wrong.push(`files import each other in a circle: ${[...names, names[0]].join(" -> ")}`);
    }
  }
  return wrong;
}

/** Fails with the files if an import is not allowed. */
export function checkFloors(folder) {
  const files = readFloors(folder);
  for (const name of FLOORS) {
    if (!files.some(({ file }) => dirname(file).split("/")[0] === name)) throw new Stop(`src/${name} has no files`);
  }
  const arrows = files.reduce((sum, { imports }) => sum + imports.length, 0);
  if (arrows === 0) throw new Stop("found no imports in src/: the script does not read them correctly");
  const wrong = wrongArrows(files);
  if (wrong.length) throw new Stop(`imports that are not allowed:\n${wrong.join("\n")}`);
  console.log(`${files.length} files with ${arrows} imports: all point downwards, and none in a circle`);
}

function tellLines() {
  const files = readFloors();
  for (const [floor, name] of [...FLOORS, "(src itself)"].entries()) {
    const here = files.filter((file) => file.floor === floor);
    const lines = here.map(({ file }) => withoutTests(code(readFileSync(inRoot("src", file), "utf8"))).split("\n").filter((line) => line.trim()).length);
    const total = lines.reduce((sum, it) => sum + it, 0);
    console.log(`${name.padEnd(14)}${String(here.length).padStart(3)} files${String(total).padStart(7)} lines of code`);
  }
}

if (isProgram(import.meta.url)) {
  await main(async () => {
    if (process.argv.includes("--lines")) tellLines();
    else checkFloors();
    return 0;
  });
}
