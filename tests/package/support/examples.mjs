// The examples in the comments of a file of types.

import { readFileSync } from "node:fs";
import { basename } from "node:path";

/** Every example of `file`: `{ where, code }`. */
export function examplesOf(file) {
  const found = [];
  let open = null;
  for (const [i, line] of readFileSync(file, "utf8").split("\n").entries()) {
    const text = line.replace(/^\s*\* ?/, "");
    if (/^```(js|ts)$/.test(text) && !open) open = { where: `${basename(file)}:${i + 1}`, code: "" };
    else if (text === "```" && open) {
      found.push(open);
      open = null;
    } else if (open) open.code += `${text}\n`;
  }
  if (open) throw new Error(`${open.where}: the example has no end`);
  return found;
}

/** True for an example that is a module. Any other is the body of a function, which can await and return. */
export const isModule = ({ code }) => /^import /m.test(code);
