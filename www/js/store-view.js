// Which store the Worker uses. What each promises stands in index.html; this marks the one in use and
// fills in the seconds of this Worker's settings.

import { byId, setText } from "./dom.js";
import { STORES } from "./stores.js";

export function storeView(live) {
  let shown = null;

  return () => {
    const { store } = live;
    if (store === null || store === shown) return;
    shown = store;
    const { name, logout } = STORES[store.storage] ?? { name: store.storage, logout: () => "" };
    setText(byId("store-state"), name);
    byId("store-state").dataset.tone = "good";
    setText(byId("fact-store"), name);
    setText(byId("fact-store-sub"), logout(store));
    byId(`store-${store.storage}`)?.setAttribute("aria-current", "true");
    // The other store's seconds are those of its defaults.
    for (const node of document.querySelectorAll(`#store-${store.storage} [data-seconds]`)) {
      setText(node, `${store[node.dataset.seconds]} s`);
    }
  };
}
