// The gallery: all pictures one after the other, in rows of as many as fit, each with its number, star, note, and how it was made differently.

import { differs, element, shortened, written } from "./elements.js";
import { PAN } from "./looking.js";
import { axes, find, labelOf, report, runOf, sessions, settingsOf, starOf } from "./data.js";
import { looked } from "./looked.js";
import { gapOf, markersOf, numbersOf, openerOf, SIZES_PX, table } from "./grid.js";
import { openViewer } from "./viewer.js";

const gallery = find("gallery");
const MOST_PARTS = 12;

/** The picture that was made before another one; null for the first. */
export function madeBefore(picture) {
  const all = looked();
  const other = all[all.indexOf(picture) - 1];
  return other?.state === "done" && other.sha256 ? other : null;
}

/** A picture's number, star and note; of a run's picture, which has none, another name. */
export function headOf(picture, name = "") {
  const label = labelOf(picture) || name;
  if (!label) return "";
  const head = element("p", { class: "head" }, element("b", {}, label), starOf(picture));
  return element("div", {}, head, picture.note ? element("p", { class: "said", dir: "auto" }, picture.note) : "");
}

const sameTask = (picture) => JSON.stringify(["sample", "task"].map((path) => settingsOf(picture)[path]));

/** By sample and task: which settings differ between their pictures. */
const varyingIn = new Map();
for (const picture of report.pictures) {
  const key = sameTask(picture);
  if (!varyingIn.has(key)) varyingIn.set(key, { first: settingsOf(picture), paths: new Set() });
  const { first, paths } = varyingIn.get(key);
  for (const path of report.varying) if (differs(path, settingsOf(picture), first)) paths.add(path);
}

/** What a picture is by the settings that differ; in a session those that changed since the picture before stand out. */
function partsOf(picture, before) {
  const ours = settingsOf(picture);
  const theirs = picture.number && before?.number ? settingsOf(before) : null;
  const named = (picture.number ? ["sample", "task"] : ["task"]).filter((path) => axes.has(path) && ours[path] !== report.unnamed);
  const changed = (path) => (theirs && path in theirs && differs(path, ours, theirs) ? "changed" : undefined);
  const varying = report.varying.filter((path) => varyingIn.get(sameTask(picture)).paths.has(path) && (ours[path] != null || (path in ours && changed(path))));
  const told = [...named, ...(picture.number ? ["seed"] : []), ...varying].filter((path) => !path.endsWith(".digest") && path !== "prompt");
  const run = !picture.number && axes.has("run") && (sessions.size || !report.varying.length) ? [element("span", {}, runOf(picture).label)] : [];
  const parts = [...new Set(told)].map((path) => {
    const value = shortened(written(ours[path]), 40);
    return element("span", { class: changed(path), title: path }, named.includes(path) ? value : `${axes.get(path)?.name ?? path} ${value}`);
  });
  const prompt = element("p", { class: `words ${changed("prompt") ?? ""}`, dir: "auto", title: ours.prompt }, shortened(ours.prompt, 160));
  return element("div", {}, prompt, element("p", { class: "parts" }, ...[...run, ...parts].slice(0, MOST_PARTS)));
}

export function drawGallery(pictures) {
  find("grids").replaceChildren(table);
  table.tHead.replaceChildren();
  table.tBodies[0].replaceChildren();
  const all = looked();
  let before = all[all.indexOf(pictures[0]) - 1];
  gallery.replaceChildren(...pictures.map((picture) => {
    const opener = picture.state === "done" && picture.sha256 ? openerOf(picture, []) : gapOf(picture);
    opener.addEventListener("click", () => openViewer(picture));
    const figure = element("figure", {}, opener, ...markersOf(picture), element("figcaption", {}, headOf(picture, axes.has("sample") ? settingsOf(picture).sample : ""), partsOf(picture, before)), ...numbersOf(picture));
    before = picture;
    return element("li", {}, figure);
  }));
}

/** As large as pictures are of which as many stand beside each other as suits the window. */
export function galleryPx() {
  const across = Math.min(report.pictures.length, Math.max(3, Math.floor(window.innerWidth / 300)));
  const room = (window.innerWidth - 40) / across - 20;
  const widest = Math.max(...report.pictures.map((picture) => picture.width ?? 0), 64);
  return SIZES_PX.filter((size) => size <= room && size <= Math.max(256, widest)).at(-1) ?? SIZES_PX[0];
}

/** Move the focus to a neighbor, over the ends of rows too. */
export function moveInGallery(event) {
  if (event.shiftKey || !(event.key in PAN) || !event.target.matches("#gallery button")) return;
  const buttons = [...gallery.querySelectorAll("[data-picture]")];
  const [across, down] = PAN[event.key];
  const top = gallery.firstElementChild.offsetTop;
  const columns = [...gallery.children].filter((item) => item.offsetTop === top).length;
  buttons[buttons.indexOf(event.target) + across + down * columns]?.focus();
  event.preventDefault();
}
