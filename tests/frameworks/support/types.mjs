// `node types.mjs NAME`: the types of the adapter NAME with those of its framework, by the compiler, the
// examples in its comments, and types-NAME.ts of this folder if there is one. Types of other packages may have faults of their own,
// which are not looked at.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";

import { inRoot } from "../../../scripts/run.mjs";
import { examplesOf, isModule } from "../../package/support/examples.mjs";

const EXAMPLES = process.env.EDGE_SESSION_EXAMPLES ?? inRoot("examples");
const [name] = process.argv.slice(2);
const ts = createRequire(join(EXAMPLES, "package.json"))("typescript");
const packages = join(EXAMPLES, "node_modules");
const types = join(packages, "edge-session");
const usage = inRoot("tests", "frameworks", "support", `types-${name}.ts`);
const own = ["index.d.ts", "adapter.d.ts", `${name}.d.ts`].map((file) => join(types, file));
const hasUsage = existsSync(usage);
if (hasUsage) own.push(usage);
/** The examples, as files in the folder from which the packages are found. */
const examples = new Map(
  examplesOf(join(types, `${name}.d.ts`)).map((example) => {
    if (!isModule(example)) throw new Error(`${example.where}: the example has no import`);
    return [join(EXAMPLES, example.where.replace(".d.ts:", "-line-") + ".ts"), `${example.code}\ndeclare const env: any;\n`];
  }),
);
if (examples.size === 0) throw new Error(`${name}.d.ts has no example`);
own.push(...examples.keys());
const options = {
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  strict: true,
  noEmit: true,
  types: [],
  // Outside of examples/, the packages are not found by themselves.
  paths: hasUsage ? { "*": [join(packages, "*")] } : {},
};
const host = ts.createCompilerHost(options);
const { fileExists, readFile, getSourceFile } = host;
host.fileExists = (file) => examples.has(file) || fileExists.call(host, file);
host.readFile = (file) => examples.get(file) ?? readFile.call(host, file);
host.getSourceFile = (file, ...rest) =>
  examples.has(file) ? ts.createSourceFile(file, examples.get(file), options.target) : getSourceFile.call(host, file, ...rest);
const program = ts.createProgram(own, options, host);
for (const file of own) {
  const source = program.getSourceFile(file);
  for (const { messageText } of [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]) {
    console.log(`${basename(file)}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`);
    process.exitCode = 1;
  }
}
