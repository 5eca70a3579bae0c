import { sessionMiddleware } from "edge-session/astro";

export const onRequest = sessionMiddleware();
