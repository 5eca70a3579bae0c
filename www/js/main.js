// The console: one live session, the views that show it, the API behind it; and the lab.

import { Api } from "./api.js";
import { cookiesView } from "./cookies-view.js";
import { devicesView } from "./devices-view.js";
import { expiryView } from "./expiry-view.js";
import { flashView } from "./flash-view.js";
import { labView } from "./lab-view.js";
import { lastRequestView } from "./last-request.js";
import { LiveSession } from "./live-session.js";
import { logView } from "./log-view.js";
import { noticeView } from "./notice-view.js";
import { ownerView } from "./owner-view.js";
import { sessionView } from "./session-view.js";
import { storeView } from "./store-view.js";
import { valuesView } from "./values-view.js";

const hear = [logView(), lastRequestView()];
const live = new LiveSession(new Api((exchange) => hear.forEach((view) => view(exchange))));
const views = [noticeView, sessionView, valuesView, expiryView, ownerView, flashView, devicesView, cookiesView, storeView].map((view) => view(live));

live.addEventListener("change", () => views.forEach((show) => show()));

// Another tab may have changed the session while this one was hidden.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") live.refresh();
});

live.refresh();
labView();
