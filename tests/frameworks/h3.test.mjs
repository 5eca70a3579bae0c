// examples/h3, by Nitro's build.

import { testShop } from "./support/shop.mjs";

testShop("h3", {
  build: { outputs: [".output/", ".nitro/", ".wrangler/"], config: ".output/server/wrangler.json", assets: ".output/public" },
  paths: { twice: "/account" },
});
