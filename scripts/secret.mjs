// `npm run secret`: prints a new value for SESSION_SECRET.

import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { isProgram } from "./run.mjs";

/** 32 random bytes, base64url. */
export const newSecret = () => randomBytes(32).toString("base64url");

/** Adds a secret to a file of variables without one, readable only by its owner. True if it did. */
export function ensureSecret(file) {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  if (/^\s*SESSION_SECRET\s*=/m.test(text)) return false;
  const newline = text && !text.endsWith("\n") ? "\n" : "";
  writeFileSync(file, `${text}${newline}SESSION_SECRET=${newSecret()}\n`, { mode: 0o600 });
  chmodSync(file, 0o600); // `mode` only applies to new files
  return true;
}

if (isProgram(import.meta.url)) console.log(newSecret());
