// Debian's packages: only as root, only if apt is installed, never interactive.

import { readdirSync } from "node:fs";
import { ask, exec, say, which } from "./run.mjs";

export const canApt = () => process.getuid?.() === 0 && which("apt-get") !== null;

const env = { DEBIAN_FRONTEND: "noninteractive" };

/** Installs those of `packages` that are missing. Resolves to true if all are installed. */
export async function aptInstall(packages, why) {
  const installed = (name) =>
    ask("dpkg-query", ["-W", "-f=${Status}", name])?.endsWith("install ok installed");
  const missing = packages.filter((name) => !installed(name));
  if (missing.length === 0) return true;
  say(`${why}: apt-get install ${missing.join(" ")}`);
  const install = () =>
    exec("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...missing], {
      env,
      capture: true,
      timeoutSeconds: 600,
    });
  // A fresh container has no package lists, and old lists name versions that no longer exist.
  let result = hasLists() ? await install() : { status: 1, output: "" };
  if (result.status !== 0) {
    const update = await exec("apt-get", ["update", "-q"], { env, capture: true, timeoutSeconds: 180 });
    result = update.status === 0 ? await install() : update;
  }
  if (result.status !== 0) say(`apt-get failed: ${lastLine(result.output)}`);
  return result.status === 0;
}

function hasLists() {
  try {
    return readdirSync("/var/lib/apt/lists").some((name) => name.includes("_Packages"));
  } catch {
    return false;
  }
}

const lastLine = (text) => text.trim().split("\n").pop();
