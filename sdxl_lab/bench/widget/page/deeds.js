// What can be done with a picture of the history, or with all of them.

import { element, offer, written } from "./elements.js";
import { copied, showText, windowOver } from "./windows.js";

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

/** Lay on the bench what a picture was made from, with what was asked for it. */
export const bringBack = (hub, number) => hub.do("recall", { number });

export const turnStar = (hub, number) => hub.do("star", { number, starred: !hub.state.pictures.get(number).starred });

/** Delete a picture if somebody says so; whether it was. */
export async function deletePicture(hub, number) {
  const words = "Its file is deleted. What it was made from and with is kept: it can be made again, and has the same number then.";
  if (await windowOver(hub, `Delete picture ${number}?`, element("p", {}, words), [["", "Keep"], ["delete", "Delete"]]) !== "delete") return false;
  await hub.do("delete", { number });
  return true;
}

/** Make a deleted picture once more, with the seed that it had. */
export async function makeAgain(hub, number) {
  const keepSeed = hub.state.keepSeed;
  await hub.do("recall", { number });
  await hub.do("ask", { changes: {}, keepSeed: true });
  await hub.do("make", { count: 1 });
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
  const entry = hub.state.pictures.get(number);
  const kinds = ["integer", "number", "choice", "flag", "seed"];
  const knobs = (hub.state.knobs?.knobs ?? []).filter(({ kind, path }) => kinds.includes(kind) && path !== "task");
  const rows = [axisRow(knobs, entry)];
  const more = element("button", { type: "button" }, "Another setting");
  more.addEventListener("click", () => {
    rows.push(axisRow(knobs, entry));
    more.before(rows.at(-1).node);
  });
  const words = element("p", {}, "One run for each combination of these values; all else as for this picture.");
  const content = [words, ...rows.map(({ node }) => node), more];
  if (await windowOver(hub, `Sweep around picture ${number}`, content, [["", "Close"], ["write", "Write the file"]]) !== "write") return;
  const axes = Object.fromEntries(rows.map((row) => row.axis()).filter(([, values]) => values.length));
  if (!Object.keys(axes).length) {
    hub.say("note", "No sweep file was written: it needs a setting with its values, such as 3, 5, 7.5.");
    return;
  }
  const { path } = await hub.do("sweep", { number, axes });
  await openOrClose(hub, "The sweep file", path, `sdxl-lab plan ${path}\nsdxl-lab sweep ${path}`);
}

/** A setting and its values, as a row of a form. */
function axisRow(knobs, entry) {
  const setting = element("select", { "aria-label": "Setting" });
  const values = element("input", { type: "text", "aria-label": "Values", placeholder: "3, 5, 7.5", autocomplete: "off", spellcheck: "false" });
  const hint = element("small");
  const describe = () => {
    const knob = knobs.find(({ path }) => path === setting.value);
    const now = entry.settings[knob?.path] ?? entry[knob?.path] ?? knob?.default;
    const allowed = knob?.choices?.length ? knob.choices.map(written).join(", ") : knob?.allowed ?? "";
    hint.textContent = `Now ${written(now)}. ${allowed && `Allowed: ${allowed}.`}`;
  };
  const likely = [...entry.changed.map(({ path }) => path), "denoising.guidance_scale"].find((path) => knobs.some((knob) => knob.path === path));
  offer(setting, knobs.map(({ path, label }) => [path, `${label} (${path})`]), likely);
  setting.addEventListener("change", describe);
  describe();
  return { node: element("div", { class: "axis" }, setting, values, hint), axis: () => [setting.value, axisValues(values.value)] };
}

/** Values as people write them, with commas between; `random(4)` and its like are left to the sweep. */
export function axisValues(text) {
  if (/^\s*\w+\(.*\)\s*$/.test(text)) return text.trim();
  return text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => {
    try {
      return JSON.parse(part);
    } catch {
      return part === "None" ? null : part;
    }
  });
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
  const buttons = [["copy", "Copy"], ...(opens ? [["open", "Open"]] : []), ["close", "Close"]];
  const pressed = await windowOver(hub, title, [element("pre", { tabindex: "0", class: "told" }, lines), ...link], buttons);
  if (pressed === "copy") await copied(lines);
  if (pressed === "open") hub.frontend.open(path);
}
