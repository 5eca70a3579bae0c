// The entry for bundles for browsers. Its error says that sessions are for the server. Bundlers that treat
// a Worker as a browser use this entry too, so `init(module)` works here.

import { advise } from "./core.js";

advise(
  "edge-session runs on the server, and this bundle is for browsers: import it only in server code. " +
    'For a Worker, bundle with the conditions "workerd" and "worker"; for Node.js, with the platform "node"',
);

export * from "./index.js";
