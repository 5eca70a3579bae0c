import { HTTPError, defineHandler } from "h3";

const SAFE = ["GET", "HEAD", "OPTIONS"];

/** Refuses what a page of another site has sent: its form could log a visitor in as somebody else. */
export default defineHandler(({ req, url }) => {
  if (SAFE.includes(req.method)) return;
  const [site, origin] = ["sec-fetch-site", "origin"].map((name) => req.headers.get(name));
  const isOwn = site === null ? origin === null || origin === url.origin : site === "same-origin" || site === "none";
  if (!isOwn) throw new HTTPError({ status: 403, message: "This form belongs to another site" });
});
