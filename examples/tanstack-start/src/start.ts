import { createCsrfMiddleware, createMiddleware, createStart } from "@tanstack/react-start";
import { sessionServer } from "edge-session/tanstack-start";

export interface Shop {
  cart: string[];
}

export const sessionMiddleware = createMiddleware().server(sessionServer<Shop>());

// This file takes the place of Start's own CSRF middleware, so it is here again, and for the forms too.
const isChange = ({ handlerType, request }: { handlerType: string; request: Request }) =>
  handlerType === "serverFn" || !["GET", "HEAD"].includes(request.method);
const csrfMiddleware = createCsrfMiddleware({ filter: isChange });

export const startInstance = createStart(() => ({ requestMiddleware: [csrfMiddleware, sessionMiddleware] }));
