// Building and finding elements. Data enters the page as text only.

/** The element with this id, which index.html promises. */
export const byId = (id) => document.getElementById(id);

/** An element; attributes named `on…` are listeners, `false` and `null` are left out. */
export function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Writes text only where it differs: a live region should not speak twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A button out of use keeps its place and the keyboard's focus, so it is `aria-disabled`. */
export function setEnabled(button, enabled) {
  if (enabled) button.removeAttribute("aria-disabled");
  else button.setAttribute("aria-disabled", "true");
}

/**
 * Runs `action` on a click, not while disabled. A press while it runs is dropped, unless it may `overlap`, or
 * there is `read`, which takes from the form what `action` gets: then the last such press runs after it.
 */
export function onPress(button, action, { overlap = false, read } = {}) {
  let running = false;
  let next = null;
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true" || (running && !overlap && !read)) return;
    next = { input: read?.() };
    if (running && !overlap) return;
    running = true;
    button.setAttribute("aria-busy", "true");
    try {
      while (next) {
        const { input } = next;
        next = null;
        await action(input);
      }
    } finally {
      running = false;
      button.removeAttribute("aria-busy");
    }
  });
}

/**
 * For an action that ends by moving the focus: called before it waits, returns the function to call after
 * that. The focus stays where somebody has moved it meanwhile.
 */
export function focusLater() {
  const before = document.activeElement;
  return (node) => {
    const now = document.activeElement;
    // A control that was removed or hidden has left the focus to the body.
    if (now === before || now === document.body) node.focus();
  };
}

/** Tells a screen reader what has just happened. */
export function say(text) {
  byId("say").textContent = text;
}
