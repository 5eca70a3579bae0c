import { defineHandler } from "h3";
import { page } from "../utils/page";

export default defineHandler(() => page("About", "<p>This page is the same for everybody.</p>"));
