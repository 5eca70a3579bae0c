// The entry of a bundle for browsers. It says why it is not ready: sessions belong to the server.
// A bundler that takes a Worker for a browser gets this one too, so `init(module)` works here.

import { advise } from "./core.js";

advise(
  "edge-session runs on the server, and this bundle is for browsers: import it only in server code. " +
    'For a Worker, bundle with the conditions "workerd" and "worker"; for Node.js, with the platform "node"',
);

export * from "./index.js";
