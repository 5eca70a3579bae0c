import { sessionMiddleware } from "edge-session/h3";

export default sessionMiddleware();
