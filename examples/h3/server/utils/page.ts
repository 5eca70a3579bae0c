import { HTTPResponse } from "h3";

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", '"': "&quot;" };

export const escape = (text: string) => text.replace(/[&<"]/g, (letter) => ENTITIES[letter]!);

export const list = (items: string[]) => `<ul>${items.map((item) => `<li>${escape(item)}</li>`).join("")}</ul>`;

export const document = (title: string, main: string) => `<!doctype html>
<html lang="en">
  <head><meta charset="utf-8" /><meta name="viewport" content="width=device-width" /><title>Shop</title></head>
  <body>
    <nav>
      <a href="/">Cart</a> <a href="/orders">Orders</a> <a href="/devices">Devices</a>
      <a href="/payment">Payment</a> <a href="/about">About</a>
    </nav>
    <main><h1>${title}</h1>${main}</main>
  </body>
</html>`;

export const HTML = { "content-type": "text/html; charset=utf-8" };

export const page = (title: string, main: string) => new HTTPResponse(document(title, main), { headers: HTML });
