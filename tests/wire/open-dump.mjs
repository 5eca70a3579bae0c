// What a dump of the namespace and the secret reveal: tries everything that can be derived from them according
// to docs/wire-format.md.
//
//   node tests/wire/open-dump.mjs dump.json secret [token, in base64url]
//
// The dump is `{"<name>": {"value": "…", "metadata": "…" or null}}`.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { Secret, openMetadata, openRecord, parseRecordName, unb64 } from "./format.mjs";

const attempt = (open) => {
  try {
    return open();
  } catch {
    return undefined;
  }
};

/** The entries of `names` that could be opened: `{ metadata: Map, records: Map }`. */
export function openDump(dump, secretText, { tokens = [], prefix = "" } = {}) {
  const secret = new Secret(secretText, { prefix });
  const names = Object.keys(dump).filter((name) => name.startsWith(`${prefix}s.`));
  const ids = names.flatMap((name) => Object.values(parseRecordName(name, prefix))).filter(Boolean);
  const keys = [
    secret.macKey,
    secret.ownerKey,
    secret.metadataKey,
    secret.tokenSalt,
    secret.secret.subarray(0, 32),
    Buffer.alloc(32),
    ...tokens.map(secret.recordKey),
  ];
  // Ids and pairs of ids, tried as tokens.
  for (const id of new Set(ids.map((id) => id.toString("hex")))) {
    const bytes = Buffer.from(id, "hex");
    keys.push(Buffer.concat([bytes, bytes]), secret.recordKey(bytes), secret.recordKey(Buffer.concat([bytes, bytes])));
  }
  const [metadata, records] = [new Map(), new Map()];
  for (const name of names) {
    const listed = attempt(() => openMetadata(secret, name, dump[name].metadata));
    if (listed) metadata.set(name, listed);
    for (const key of keys) {
      const record = attempt(() => openRecord(key, name, dump[name].value));
      if (record) records.set(name, record);
    }
  }
  return { names, metadata, records };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [file, secret, token] = process.argv.slice(2);
  const dump = JSON.parse(readFileSync(file, "utf8"));
  const { names, metadata, records } = openDump(dump, secret, { tokens: token ? [unb64(token)] : [] });
  console.log(`${names.length} records; opened ${metadata.size} list metadata and ${records.size} records`);
  for (const [name, listed] of metadata) console.log(name, JSON.stringify(listed));
  for (const [name, record] of records) console.log(name, JSON.stringify(record));
}
