import { defineHandler } from "h3";
import { page } from "../utils/page";

const form = `<form method="post"><input name="user" required /> <button>Log in</button></form>`;

export default defineHandler(() => page("Log in", form));
