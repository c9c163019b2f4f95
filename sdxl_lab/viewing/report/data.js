// What the report holds, what of it is chosen, and how it is called.

import { element, shortened, written } from "./elements.js";

export const report = JSON.parse(document.getElementById("data").textContent);
export const axes = new Map(report.axes.map((axis, index) => [axis.path, { ...axis, index }]));
export const find = (id) => document.getElementById(id);
report.pictures.forEach((picture, index) => { picture.index = index; });

/** What is seen: axes `x` and `y` of a table, `z` of several tables, what is picked of the others, filters, and what pictures are sorted by, `down` or up. */
export const chosen = {
  layout: "table", x: report.x, y: report.y, z: null, page: 0, compare: "", starred: false, marked: false, filters: [], sort: "", down: false, picks: new Map(),
};

export const settingsOf = (picture) => report.settings[picture.settings];
export const runOf = (picture) => report.runs[picture.run];

/** Whether runs are called by their names: where settings tell pictures apart, these only repeat them. */
export const namesRuns = () => !report.varying.length || [chosen.x, chosen.y].includes("run");

export const sessions = new Set(report.pictures.filter((picture) => picture.number).map((picture) => runOf(picture).folder));

/** What a picture of a session is called: its number, after the session's name where there are several. */
export function labelOf(picture) {
  if (!picture.number) return "";
  return sessions.size > 1 ? runOf(picture).label : String(picture.number);
}

/** A star, where somebody starred the picture. */
export function starOf(picture) {
  return picture.starred ? element("span", { class: "star", role: "img", "aria-label": "starred", title: "starred" }, "★") : "";
}

/** What sets a picture apart from the others of its sample and task; of a session, where its number does, what it is of. */
export function nameOf(picture) {
  if (picture.number) {
    const { prompt, task, seed } = settingsOf(picture);
    return [`${labelOf(picture)}${picture.starred ? " ★" : ""}`, shortened(prompt), task, `seed ${seed}`].filter(Boolean).join(" · ");
  }
  const parts = [];
  for (const axis of axes.values()) {
    if (axis.path === "run" && !namesRuns()) continue;
    const value = written(axis.values[picture.at[axis.index]]);
    parts.push(["sample", "task", "run"].includes(axis.path) ? value : `${axis.name} ${shortened(value, 40)}`);
  }
  return parts.join(" · ");
}

/** Where in a picture its input lies, before its canvas was extended, in pixels. */
export function originalOf(picture) {
  const settings = settingsOf(picture);
  const [left, right, top, bottom] = ["left", "right", "top", "bottom"].map((side) => (settings.mode === "canvas" ? settings[`canvas.${side}_px`] : 0));
  return { left, top, width: picture.width - left - right, height: picture.height - top - bottom };
}

/** A picture of the report as it is looked at; null if the report holds none. */
export function lookedAt(picture) {
  if (!(picture?.sha256 in report.files)) return null;
  const { sha256, width, height } = picture;
  return { source: report.files[sha256], sha256, width, height, original: originalOf(picture) };
}
