import { index, type RouteConfig, route } from "@react-router/dev/routes";

export default [
  index("routes/cart.tsx"),
  route("login", "routes/login.tsx"),
  route("logout", "routes/logout.ts"),
  route("devices", "routes/devices.tsx"),
  route("payment", "routes/payment.tsx"),
  route("orders", "routes/orders.tsx"),
  route("checkout", "routes/checkout.ts"),
  route("about", "routes/about.tsx"),
] satisfies RouteConfig;
