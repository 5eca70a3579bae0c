import { defineHandler } from "h3";
import { document, HTML, list } from "../utils/page";

/** Stands for a slow database. */
async function ordersOf(user: string | null) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  return user === null ? [] : [`The first order of ${user}`];
}

export default defineHandler((event) => {
  const { session } = event.context;
  // The page is sent before it is complete, and so is the cookie: change the session here, not in what
  // is streamed.
  session.set("cart", [...session.get("cart", []), "ordered"]);
  const [head, foot] = document("Orders", "\0").split("\0") as [string, string];
  const user = session.owner;
  const { readable, writable } = new TransformStream<string, string>();
  const send = async () => {
    const writer = writable.getWriter();
    await writer.write(head);
    await writer.write(list(await ordersOf(user)));
    await writer.write(foot);
    await writer.close();
  };
  event.waitUntil(send());
  event.res.headers.set("content-type", HTML["content-type"]);
  return readable.pipeThrough(new TextEncoderStream());
});
