// `npm run frameworks -- newest [EXAMPLE...]`: the shops of examples/ with the newest versions of their
// frameworks, in a copy under target/. Prints what was tried; exit status 1 if a test failed. CI does not
// run it: what others publish must not break it.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureBrowser } from "./browser.mjs";
import { buildPackage } from "./build-package.mjs";
import { Stop, ask, exec, inRoot, main, say } from "./run.mjs";
import { setUp } from "./setup.mjs";

const json = (file) => JSON.parse(readFileSync(file, "utf8"));

/** The version of a package to try: the newest, a prerelease if it has to be, or within a range. */
async function newest(name, { prereleases = [], within = {} }) {
  const what = within[name] ? `${name}@${within[name]}` : name;
  const field = prereleases.includes(name) ? "versions" : "version";
  // npm prints its warnings to the standard error.
  const { status, output, stdout } = await exec("npm", ["view", what, field, "--json"], { capture: true });
  if (status !== 0) throw new Stop(`npm view ${name}:\n${output}`);
  return [JSON.parse(stdout)].flat().at(-1);
}

/** A copy of the example `name`, as far as it is in the repository, with these versions. */
function copy(folder, name, versions) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const wanted = ["examples/.npmrc", `examples/${name}`];
  for (const file of ask("git", ["ls-files", "-z", "--", ...wanted]).split("\0")) {
    if (file) cpSync(inRoot(file), join(folder, "..", file));
  }
  // It names the package as a neighbour of its folder.
  cpSync(inRoot("pkg"), join(folder, "..", "pkg"), { recursive: true });
  const write = (place, manifest) => {
    for (const field of ["dependencies", "devDependencies"]) {
      for (const name in manifest[field]) manifest[field][name] = versions[name] ?? manifest[field][name];
    }
    writeFileSync(join(folder, place, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  };
  write("", { ...json(inRoot("examples", "package.json")), workspaces: [name] });
  write(name, json(inRoot("examples", name, "package.json")));
}

await main(async () => {
  const [what, ...chosen] = process.argv.slice(2);
  if (what !== "newest") throw new Stop("say what to try: npm run frameworks -- newest [EXAMPLE...]");
  const all = Object.values(json(inRoot("examples", "versions.json")).frameworks).filter(({ lock }) => lock === "examples");
  const unknown = chosen.find((name) => !all.some(({ example }) => example === name));
  if (unknown) throw new Stop(`no example \`${unknown}\`: there are ${all.map(({ example }) => example).join(", ")}`);
  const tried = all.filter(({ example }) => chosen.length === 0 || chosen.includes(example));
  const folder = inRoot("target", "newest", "examples");
  const names = tried.map(({ example }) => example);

  await setUp();
  const chrome = await ensureBrowser();
  // The tests find the browser by CHROME, and need to be told that there is none.
  const env = { EDGE_SESSION_EXAMPLES: folder, ...(chrome ? { CHROME: chrome } : { EDGE_SESSION_BROWSER: "none" }) };
  await buildPackage();
  const versions = {};
  for (const framework of tried) {
    for (const name of Object.keys(framework.tested)) versions[name] ??= await newest(name, framework);
  }
  const results = {};
  // One by one: versions that do not go together are a matter of one framework.
  for (const name of names) {
    copy(folder, name, versions);
    say(`npm install of ${name} in ${folder}`);
    const installed = await exec("npm", ["install"], { tee: true, cwd: folder });
    if (installed.status !== 0) {
      results[name] = "cannot be installed";
      continue;
    }
    const args = ["--test", "--test-reporter=spec", "--test-timeout=600000", inRoot("tests", "frameworks", `${name}.test.mjs`)];
    const { status } = await exec(process.execPath, args, { tee: true, env });
    results[name] = status === 0 ? "passed" : "failed";
  }
  console.log();
  for (const { example, tested } of tried) {
    for (const [name, version] of Object.entries(tested)) {
      const change = versions[name] === version ? version : `${version} -> ${versions[name]}`;
      console.log(`${example.padEnd(16)}${name.padEnd(32)}${change.padEnd(34)}${results[example]}`);
    }
  }
  return Object.values(results).every((result) => result === "passed") ? 0 : 1;
});
