import type { NitroErrorHandler } from "nitro/types";
import { document, HTML } from "./utils/page";

const handler: NitroErrorHandler = ({ status, headers: given, unhandled }) => {
  const title = status === 404 ? "Not found" : "This did not work";
  const body = document(title, `<p>Try again in a moment, or <a href="/login">log in</a>.</p>`);
  // An error of the session brings headers along: when to try again, and cookies.
  const headers = new Headers([...new Headers(given), ...Object.entries(HTML)]);
  return new Response(body, { status: unhandled ? 500 : status, headers });
};

export default handler;
