import { Sessions } from "edge-session";

/** Each of these means that something has to be done. */
const ALERTS = new Set(["store_error", "revocation_pending", "limit_not_enforced", "corrupt"]);

const onEvent = (env) => ({ event, reason = "", session = "" }) => {
  // Every event is counted, to notice when `rejected` or `pending` become many.
  env.ANALYTICS?.writeDataPoint({ indexes: [event], blobs: [event, reason, session], doubles: [1] });
  if (ALERTS.has(event)) console.error(JSON.stringify({ alert: event, reason, session }));
};

export default {
  async fetch(request, env, ctx) {
    const sessions = Sessions.fromEnv(env, { onEvent: onEvent(env) });
    const { requests, retries, storeLoads, tableLoads } = sessions.stats; // of this isolate
    if (requests % 100 === 99) console.log(JSON.stringify({ requests, retries, storeLoads, tableLoads }));
    return sessions.handle(request, ctx, (session) => {
      if (request.method === "POST") session.set("seen", true);
      return new Response("hello");
    });
  },
};
