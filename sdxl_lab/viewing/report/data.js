// What the report holds, what of it is chosen, and how it is called.

import { element, shortened, written } from "./elements.js";

export const report = JSON.parse(document.getElementById("data").textContent);
export const axes = new Map(report.axes.map((axis, index) => [axis.path, { ...axis, index }]));
export const find = (id) => document.getElementById(id);
report.pictures.forEach((picture, index) => { picture.index = index; });

export const chosen = { layout: "table", x: report.x, y: report.y, page: 0, compare: "", starred: false, picks: new Map() };

export const byPaths = new Map();

/** The pictures that are looked at: all, or the starred alone. */
export const looked = () => (chosen.starred ? report.pictures.filter((picture) => picture.starred) : report.pictures);

/** The pictures of these values, `positions` being [path, index of the value] pairs; several if an axis is left out. */
export function picturesAt(positions) {
  const paths = positions.map(([path]) => path);
  const key = paths.join();
  if (!byPaths.has(key)) {
    const indices = paths.map((path) => axes.get(path).index);
    const byValues = new Map();
    for (const picture of looked()) {
      const values = indices.map((index) => picture.at[index]).join();
      if (!byValues.has(values)) byValues.set(values, []);
      byValues.get(values).push(picture);
    }
    byPaths.set(key, byValues);
  }
  return byPaths.get(key).get(positions.map(([, value]) => value).join()) ?? [];
}

/** The one to show of several: one that was made, if any was. */
export function pictureAt(positions) {
  const pictures = picturesAt(positions);
  return pictures.find((picture) => picture.state === "done") ?? pictures[0];
}

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
