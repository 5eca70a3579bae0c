import { createCsrfMiddleware, createMiddleware, createStart } from "@tanstack/react-start";
import { sessionServer } from "edge-session/tanstack-start";

export interface Shop {
  cart: string[];
}

export const sessionMiddleware = createMiddleware().server(sessionServer<Shop>());

// This file takes the place of Start's own CSRF middleware, so it is here again.
const csrfMiddleware = createCsrfMiddleware({ filter: ({ handlerType }) => handlerType === "serverFn" });

export const startInstance = createStart(() => ({ requestMiddleware: [csrfMiddleware, sessionMiddleware] }));
