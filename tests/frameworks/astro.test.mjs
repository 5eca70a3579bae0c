// examples/astro, by Astro's own build.

import { testShop } from "./support/shop.mjs";

testShop("astro", {
  build: { outputs: ["dist/", ".astro/", ".wrangler/"], config: "dist/server/wrangler.json", assets: "dist/client" },
  paths: { cart: "/", twice: "/account" },
});
