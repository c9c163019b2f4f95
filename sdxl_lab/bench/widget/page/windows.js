// Windows over a view: a question, a form, a text to read. Escape closes them, and the focus goes back to where it was.

import { element } from "./elements.js";

/**
 * Show a window with a title, content and buttons of [value, text]. Gives the value of the button that closed it; null by Escape. The last button
 * is the one that Enter presses.
 */
export function windowOver(hub, title, content, buttons) {
  const made = buttons.map(([value, text], index) => element("button", { value, class: index === buttons.length - 1 ? "first" : undefined }, text));
  // Enter in a field presses the form's first button, whatever its place.
  const entered = element("button", { value: buttons.at(-1)[0], class: "entered", tabindex: "-1", "aria-hidden": "true" });
  const form = element("form", { method: "dialog" }, entered, element("h3", {}, title), ...[content].flat(), element("div", { class: "buttons" }, ...made));
  const dialog = element("dialog", { class: "window", "aria-label": title }, form);
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  hub.root.append(dialog);
  dialog.showModal();
  (form.querySelector("input, select, textarea") ?? made.at(-1)).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
  });
}

/** Show a text that can be copied. */
export async function showText(hub, title, text, ...remarks) {
  const shown = element("pre", { tabindex: "0", class: "told" }, text);
  const pressed = await windowOver(hub, title, [...remarks, shown], [["copy", "Copy"], ["close", "Close"]]);
  if (pressed === "copy") await copied(text);
}

/** Put a text into the clipboard; whether the browser allowed it. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
