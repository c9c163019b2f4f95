"use strict";
// What the report holds, and how it is written for people. Texts of records reach the page as text alone, never as HTML.

const report = JSON.parse(document.getElementById("data").textContent);
const axes = new Map(report.axes.map((axis, index) => [axis.path, { ...axis, index }]));
const find = (id) => document.getElementById(id);
report.pictures.forEach((picture, index) => { picture.index = index; });

const byPaths = new Map();

/** The pictures that are looked at: all, or the starred alone. */
const looked = () => (chosen.starred ? report.pictures.filter((picture) => picture.starred) : report.pictures);

/** The pictures of these values, `positions` being [path, index of the value] pairs; several if an axis is left out. */
function picturesAt(positions) {
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
function pictureAt(positions) {
  const pictures = picturesAt(positions);
  return pictures.find((picture) => picture.state === "done") ?? pictures[0];
}

const settingsOf = (picture) => report.settings[picture.settings];
const runOf = (picture) => report.runs[picture.run];

/** A setting's value as text. */
function written(value) {
  if (value === null || value === undefined) return "none";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function shortened(text, most = 60) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Whether runs are called by their names: where settings tell pictures apart, these only repeat them. */
const namesRuns = () => !report.varying.length || [chosen.x, chosen.y].includes("run");

const sessions = new Set(report.pictures.filter((picture) => picture.number).map((picture) => runOf(picture).folder));

/** What a picture of a session is called: its number, after the session's name where there are several. */
function labelOf(picture) {
  if (!picture.number) return "";
  return sessions.size > 1 ? runOf(picture).label : String(picture.number);
}

/** A star, where somebody starred the picture. */
function starOf(picture) {
  return picture.starred ? element("span", { class: "star", role: "img", "aria-label": "starred", title: "starred" }, "★") : "";
}

/** What sets a picture apart from the others of its sample and task; of a session, where its number does, what it is of. */
function nameOf(picture) {
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
function originalOf(picture) {
  const settings = settingsOf(picture);
  const [left, right, top, bottom] = ["left", "right", "top", "bottom"].map((side) => (settings.mode === "canvas" ? settings[`canvas.${side}_px`] : 0));
  return { left, top, width: picture.width - left - right, height: picture.height - top - bottom };
}

/** A metric's name with an arrow to where it is better; what it says stands in its title. */
function metricName({ name, better, sentence }) {
  const arrow = { lower: "\u00a0↓", higher: "\u00a0↑" }[better] ?? "";
  const title = [sentence, better && `${better[0].toUpperCase()}${better.slice(1)} is better.`].filter(Boolean).join(" ");
  return element("span", { class: "metric", title: title || undefined }, breakable(name), arrow);
}

/** A metric's number with its unit, in one people read. */
function metricText({ unit }, number, { sign = "", digits = 4 } = {}) {
  if (number === undefined || number === null) return "";
  const [value, shown] = unit === "bytes" ? [number / 2 ** 20, "MiB"] : [number, unit];
  return `${value > 0 ? sign : ""}${numberText(value, digits)}${shown ? `\u00a0${shown}` : ""}`;
}

function counted(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

function numberText(number, digits) {
  if (Number.isInteger(number)) return String(number);
  return String(Math.abs(number) >= 10 ** digits ? Math.round(number) : Number(number.toPrecision(digits)));
}

/** A new element, with text and attributes, around others. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Fill a select with [value, text] pairs, keeping what was chosen where it is still offered. */
function offer(select, options, chosen = select.value) {
  select.replaceChildren(...options.map(([value, text]) => element("option", { value }, shortened(text))));
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0]?.[0] ?? "";
}

/** A name that may be broken into lines after dots and underscores. */
function breakable(name) {
  const pieces = document.createDocumentFragment();
  for (const [index, piece] of name.split(/(?<=[._])/).entries()) pieces.append(...(index ? [document.createElement("wbr")] : []), piece);
  return pieces;
}

function listed(pairs) {
  return element("dl", {}, ...pairs.flatMap(([name, value]) => [element("dt", {}, breakable(name)), element("dd", {}, value)]));
}
