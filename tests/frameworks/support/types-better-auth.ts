// What must compile and what must not, with better-auth: checked by types.mjs, never run.

import { betterAuth, type SecondaryStorage } from "better-auth";
import { secondaryStorage, type ObjectSecondaryStorage } from "edge-session/better-auth";
import type { ObjectNamespace } from "edge-session";

declare const namespace: ObjectNamespace;
declare const kv: { get(key: string): Promise<string | null>; put(key: string, value: string): Promise<void> };

const storage: ObjectSecondaryStorage = secondaryStorage(namespace);
const theirs: SecondaryStorage = secondaryStorage(namespace, { keyPrefix: "shop.", locationHint: "weur", jurisdiction: "eu" });
betterAuth({ secondaryStorage: storage });
betterAuth({ secondaryStorage: theirs });

export async function uses() {
  const value: string | null = await storage.get("key");
  const taken: string | null = await storage.getAndDelete("key");
  const count: number = await storage.increment("key", 10);
  await storage.set("key", "value");
  await storage.set("key", "value", 10);
  await storage.delete("key");
  return [value, taken, count];
}

// @ts-expect-error Workers KV has no transactions
secondaryStorage(kv);
// @ts-expect-error the option is keyPrefix
secondaryStorage(namespace, { prefix: "shop." });
// @ts-expect-error no place of this name
secondaryStorage(namespace, { locationHint: "moon" });
// @ts-expect-error values are strings
storage.set("key", 1);
// @ts-expect-error a counter has an end
storage.increment("key");
