import { sessionHandle } from "edge-session/sveltekit";

export const handle = sessionHandle();
