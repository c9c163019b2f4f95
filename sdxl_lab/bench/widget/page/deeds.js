// What can be done with a picture of the history, or with all of them.

import { element } from "./elements.js";
import { copied, copyOrSay, showText, windowOver } from "./windows.js";
import { askForSweep } from "./sweeping.js";

/** Make the work of a button: it cannot be pressed again before that is over; what goes wrong is said by the hub. */
export function doing(button, work) {
  button.addEventListener("click", async () => {
    const hadFocus = button.matches(":focus");
    button.disabled = true;
    try {
      await work();
    } catch {
      // said already
    }
    button.disabled = false;
    if (hadFocus && document.activeElement === document.body) button.focus({ preventScroll: true });
  });
  return button;
}

/** Lay on the bench what a picture was made from, with what was asked for it, and go there. */
export async function bringBack(hub, number) {
  const { input } = hub.state.pictures.get(number);
  await hub.do("recall", { number });
  hub.show("paint");
  hub.say("note", input ? `Picture ${number} and its settings are on the bench again.` : `The settings of picture ${number} are on the bench again.`);
}

export const turnStar = (hub, number) => hub.do("star", { number, starred: !hub.state.pictures.get(number).starred });

/** Delete a picture if somebody says so; whether it was. */
export async function deletePicture(hub, number) {
  const words = "Its file is deleted. What it was made from and with is kept: it can be made again, and has the same number then.";
  const remove = () => hub.do("delete", { number }, [], { says: false });
  return await windowOver(hub, `Delete picture ${number}?`, element("p", {}, words), [["delete", "Delete", remove], ["", "Keep"]]) === "delete";
}

/** Make a deleted picture once more, with the seed that it had. */
export async function makeAgain(hub, number) {
  const keepSeed = hub.state.keepSeed;
  await hub.do("recall", { number });
  await hub.do("ask", { changes: {}, keepSeed: true });
  const { refused } = await hub.do("make", { count: 1 });
  if (refused) hub.say("error", ["not made", ...refused.map(({ text }) => text)].join(": "));
  if (!keepSeed) await hub.do("ask", { changes: {}, keepSeed });
}

/** Put the parameters of a run that makes a picture into a new cell of the notebook, or show them. */
export async function toParametersCell(hub, number) {
  const { text } = await hub.do("parameters", { number });
  if (await hub.frontend.insertCell(text)) return;
  const remark = (await copied(text)) ? "They are in the clipboard: put them into the parameters cell of a notebook." : "Put them into the parameters cell of a notebook.";
  await showText(hub, `Parameters of picture ${number}`, text, element("p", {}, remark));
}

/** Write a sweep file around a picture, over settings that somebody chooses. */
export async function toSweepFile(hub, number) {
  const path = await askForSweep(hub, number);
  if (path) await openOrClose(hub, "The sweep file", path, `sdxl-lab plan ${path}\nsdxl-lab sweep ${path}`);
}

export async function showReproduction(hub, number) {
  const { text } = await hub.do("reproduce", { number });
  await showText(hub, `Picture ${number}, made again`, text);
}

export async function showComparison(hub, starred) {
  const { text } = await hub.do("compare", { starred });
  await showText(hub, starred ? "The starred pictures, compared" : "All pictures, compared", text);
}

export async function writeReport(hub, starred) {
  const { path } = await hub.do("report", { starred });
  await openOrClose(hub, "The report", path);
}

/** Say where a file was written; it opens in another tab of the browser, where its scripts run, or beside the notebook. */
async function openOrClose(hub, title, path, lines = path) {
  const address = path.endsWith(".html") ? hub.frontend.addressOf(path) : null;
  const link = address ? [element("p", {}, element("a", { href: address, target: "_blank" }, "Open it in another tab"))] : [];
  const opens = address === null && hub.frontend.placeOf(path) !== null;
  const buttons = [["copy", "Copy", () => copyOrSay(lines)], ...(opens ? [["open", "Open"]] : []), ["close", "Close"]];
  const pressed = await windowOver(hub, title, [element("pre", { tabindex: "0", class: "told" }, lines), ...link], buttons);
  if (pressed === "open") hub.frontend.open(path);
}
