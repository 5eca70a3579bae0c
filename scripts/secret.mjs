// `npm run secret`: a fresh value for SESSION_SECRET.

import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";

/** 32 random bytes, base64url. */
export const newSecret = () => randomBytes(32).toString("base64url");

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(newSecret());
