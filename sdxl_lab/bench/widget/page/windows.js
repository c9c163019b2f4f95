// Windows over a view: a question, a form, a text to read. Escape closes them, and the focus goes back to where it was.

import { element } from "./elements.js";

/**
 * Show a window with a title, content and buttons of [value, text, work]. Gives the value of the button that closed it; null by Escape. The last
 * button is the one that Enter presses. A button with work closes the window once that is done; if it fails, the window says why and stays.
 */
export function windowOver(hub, title, content, buttons) {
  const made = buttons.map(([value, text], index) => element("button", { value, class: index === buttons.length - 1 ? "first" : undefined }, text));
  const works = new Map(buttons.map(([value, , work]) => [value, work]));
  // Enter in a field presses the form's first button, whatever its place.
  const entered = element("button", { value: buttons.at(-1)[0], class: "entered", tabindex: "-1", "aria-hidden": "true" });
  const fault = element("p", { class: "fault", role: "alert", hidden: true });
  const form = element("form", { method: "dialog" }, entered, element("h3", {}, title), ...[content].flat(), fault, element("div", { class: "buttons" }, ...made));
  const dialog = element("dialog", { class: "window", "aria-label": title }, form);
  let isAtWork = false;
  form.addEventListener("submit", async (event) => {
    const value = event.submitter?.value;
    if (!works.get(value)) return;
    event.preventDefault();
    if (isAtWork) return;
    isAtWork = true;
    fault.hidden = true;
    try {
      await works.get(value)();
      dialog.close(value);
    } catch (error) {
      fault.textContent = error.message;
      fault.hidden = false;
      fault.scrollIntoView({ block: "nearest" });
    }
    isAtWork = false;
  });
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  hub.root.append(dialog);
  dialog.showModal();
  (form.querySelector("[autofocus]") ?? form.querySelector("input, select, textarea") ?? made.at(-1)).focus();
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
  await windowOver(hub, title, [...remarks, shown], [["copy", "Copy", () => copyOrSay(text)], ["close", "Close"]]);
}

/** Put a text into the clipboard, as the work of a window's button. */
export async function copyOrSay(text) {
  if (!(await copied(text))) throw new Error("The browser does not let this page copy. Select the text and copy it by the keyboard.");
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
