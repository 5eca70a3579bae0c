import { defineConfig } from "nitro/config";

export default defineConfig({
  preset: "cloudflare_module",
  compatibilityDate: "2026-10-01",
  serverDir: "server",
  errorHandler: "./server/error.ts",
  // Served as a file: it costs no request of the Worker and has no session.
  prerender: { routes: ["/about"] },
  cloudflare: {
    // What wrangler.jsonc says, and where the build is.
    deployConfig: true,
  },
});
