import type { SessionLocals } from "edge-session/astro";

interface Shop {
  cart: string[];
}

declare global {
  namespace App {
    interface Locals extends SessionLocals<Shop> {}
  }
}
