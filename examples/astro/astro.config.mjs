import cloudflare from "@astrojs/cloudflare";
import { defineConfig } from "astro/config";

export default defineConfig({
  output: "server",
  adapter: cloudflare({ imageService: "passthrough" }),
  // Astro's own sessions are not used. Without this line the adapter binds a namespace for them.
  session: false,
});
