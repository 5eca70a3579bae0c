import { defineHandler } from "h3";
import { escape, list, page } from "../utils/page";

export default defineHandler(({ context: { session } }) => {
  // A flash message is shown once: reading it removes it.
  const notice = session.takeFlash<string>("notice");
  const user = session.owner;
  const form =
    user === null
      ? `<a href="/login">Log in</a>`
      : `<form method="post" action="/logout"><button>Log out</button></form>`;
  const body = `${notice ? `<p id="notice">${escape(notice)}</p>` : ""}
    <p id="user">${escape(user ?? "nobody")}</p>
    ${list(session.get("cart", []))}
    <form method="post" action="/cart"><input name="item" required /> <button>Add</button></form>${form}`;
  return page("Cart", body);
});
