import type { Config } from "@react-router/dev/config";

export default {
  ssr: true,
  // Served as a file: it costs no request of the Worker and has no session.
  prerender: ["/about"],
} satisfies Config;
