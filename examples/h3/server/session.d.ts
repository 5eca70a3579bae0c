import type { SessionContext } from "edge-session/h3";

interface Shop {
  cart: string[];
}

declare module "h3" {
  interface H3EventContext extends SessionContext<Shop> {}
}
