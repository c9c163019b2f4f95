// Pictures that somebody marked while looking: kept by this browser, filtered by, and taken along as a list.

import { element } from "./elements.js";
import { WRITES } from "./looking.js";
import { chosen, find, nameOf, report, runOf, settingsOf } from "./data.js";

const KEPT_AS = "sdxl-lab-marked";
let marks = new Set();
readMarks();

/** What this browser keeps, of any report; nothing where it keeps nothing, as in a frame of another site. */
function kept() {
  try {
    const names = JSON.parse(localStorage.getItem(KEPT_AS) ?? "[]");
    return Array.isArray(names) ? names : [];
  } catch {
    return [...marks];
  }
}

/** What a picture is called in links and marks, in any report that has it. */
export function keyOf(picture) {
  const { sample, task, seed } = settingsOf(picture);
  return `${runOf(picture).run_id.slice(0, 16)}/${picture.file ?? [sample, task, seed].join("/")}`;
}

export const isMarked = (picture) => marks.has(keyOf(picture));
export const markedPictures = () => report.pictures.filter(isMarked);

/** Mark a picture, or no longer. */
export function turnMark(picture) {
  if (picture.state !== "done") return;
  marks = new Set(kept());  // another page may have marked some
  const key = keyOf(picture);
  if (!marks.delete(key)) marks.add(key);
  keep();
}

export function unmarkAll() {
  const here = new Set(report.pictures.map(keyOf));
  marks = new Set(kept().filter((key) => !here.has(key)));
  keep();
}

function keep() {
  try {
    localStorage.setItem(KEPT_AS, JSON.stringify([...marks]));
  } catch {
    // Then they last as long as the page.
  }
}

/** Read again what another page has marked. */
export function readMarks() {
  marks = new Set(kept());
}

/** The button of a picture. */
export function markerOf(picture) {
  const marker = element("button", { type: "button", class: "mark", tabindex: -1, "data-mark": picture.index, title: "Mark (M)", "aria-label": `Mark ${nameOf(picture)}` }, "✓");
  marker.setAttribute("aria-pressed", String(isMarked(picture)));
  return marker;
}

/** Show on all buttons, and in the header, what is marked. */
export function drawMarks() {
  for (const marker of document.querySelectorAll("[data-mark]")) {
    const picture = report.pictures[marker.dataset.mark];
    if (picture) marker.setAttribute("aria-pressed", String(isMarked(picture)));
  }
  const count = markedPictures().length;
  find("marking").hidden = !count && !chosen.marked;
  find("marked-count").textContent = `✓ ${count} marked`;
  find("marked").checked = chosen.marked;
}

/** Where a picture lies, from the folder that its run's or session's folder is in. */
const pathOf = (picture) => [runOf(picture).folder, picture.file].filter(Boolean).join("/");

export function markedList() {
  return markedPictures().map((picture) => {
    const { sample, task, seed } = settingsOf(picture);
    const { name, run_id } = runOf(picture);
    return { picture_id: picture.picture_id, run: name, run_id, path: pathOf(picture), sample, task, seed, sha256: picture.sha256 };
  });
}

/** Hand a file to the browser's downloads. */
export function download(name, text, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Take marks by hand; `changed` is called after each, `current` is the picture that the keys mean. */
export function beginMarks(changed, current) {
  find("take-json").addEventListener("click", () => download("marked.json", `${JSON.stringify(markedList(), null, 2)}\n`, "application/json"));
  find("take-text").addEventListener("click", () => download("marked.txt", markedList().map(({ path }) => `${path}\n`).join(""), "text/plain"));
  find("unmark").addEventListener("click", () => { unmarkAll(); changed(); });
  document.addEventListener("click", (event) => {
    const marker = event.target.closest("[data-mark]");
    if (!marker) return;
    turnMark(report.pictures[marker.dataset.mark]);
    changed();
  });
  document.addEventListener("keydown", (event) => {
    if (!["m", "*"].includes(event.key.toLowerCase()) || event.ctrlKey || event.metaKey || event.altKey || event.target.matches(WRITES)) return;
    const picture = current();
    if (!picture) return;
    event.preventDefault();
    turnMark(picture);
    changed();
  });
  window.addEventListener("storage", ({ key }) => {
    if (key !== KEPT_AS) return;
    readMarks();
    changed();
  });
}
