// The stores that a Worker may keep sessions in, and what the page says differently on each.

/** `logout` is what a logout promises, `ended` when ended sessions are dead, `listed` what a list is. */
export const STORES = {
  kv: {
    name: "Workers KV",
    logout: ({ stalenessBound }) => `a logout holds everywhere within ${stalenessBound} s`,
    ended: ({ stalenessBound }) => `dead everywhere within ${stalenessBound} s`,
    listed: "Workers KV lists with a delay: a login of the last minute may be missing, yet “everywhere” ends it too.",
    missing: "None is listed yet: Workers KV lists with a delay.",
  },
  durable_object: {
    name: "Durable Objects",
    logout: () => "a logout holds everywhere with the next request, and no save is lost",
    ended: () => "dead everywhere with the next request",
    listed: "The list is exact.",
    missing: "None is listed: this session has just ended elsewhere.",
  },
  memory: {
    name: "Memory",
    logout: () => "for tests: sessions last as long as this isolate, and no other one knows them",
    ended: () => "dead in this isolate",
    listed: "The list is from this isolate only.",
    missing: "None is listed: this isolate has none.",
  },
};

/** What to say where the store is not known. */
const UNKNOWN = {
  ended: () => "dead everywhere soon after",
  listed: "",
  missing: "None is listed.",
};

export const wordsOf = (store) => STORES[store?.storage] ?? UNKNOWN;
