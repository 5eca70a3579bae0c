// `node types.mjs NAME`: the types of the adapter NAME with those of its framework, by the compiler. Types
// of other packages may have faults of their own, which are not looked at.

import { createRequire } from "node:module";
import { join } from "node:path";

import { inRoot } from "../../../scripts/run.mjs";

const EXAMPLES = process.env.EDGE_SESSION_EXAMPLES ?? inRoot("examples");
const [name] = process.argv.slice(2);
const ts = createRequire(join(EXAMPLES, "package.json"))("typescript");
const file = join(EXAMPLES, "node_modules", "edge-session", `${name}.d.ts`);
const program = ts.createProgram([file], {
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  strict: true,
  noEmit: true,
  types: [],
});
for (const own of ["index.d.ts", "adapter.d.ts", `${name}.d.ts`]) {
  const source = program.getSourceFile(join(file, "..", own));
  for (const { messageText } of [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]) {
    console.log(`${own}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`);
    process.exitCode = 1;
  }
}
