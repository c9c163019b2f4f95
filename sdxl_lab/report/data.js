"use strict";
// What the report holds, and how it is written for people. Texts of records reach the page as text alone, never as HTML.

const report = JSON.parse(document.getElementById("data").textContent);
const axes = new Map(report.axes.map((axis, index) => [axis.path, { ...axis, index }]));
const find = (id) => document.getElementById(id);
report.pictures.forEach((picture, index) => { picture.index = index; });

/** The pictures of these values, `positions` being [path, index of the value] pairs; several if an axis is left out. */
function picturesAt(positions) {
  return report.pictures.filter((picture) => positions.every(([path, value]) => picture.at[axes.get(path).index] === value));
}

/** The one to show of several: one that was made, if any was. */
function pictureAt(positions) {
  const found = picturesAt(positions);
  return found.find((picture) => picture.state === "done") ?? found[0];
}

const settingsOf = (picture) => report.settings[picture.settings];
const runOf = (picture) => report.runs[picture.run];

/** A setting's value as text. */
function written(value) {
  if (value === null) return "none";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function shortened(text, most = 60) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** What sets a picture apart from the others of its sample and task. */
function nameOf(picture) {
  const parts = [];
  // Where settings tell pictures apart, the names of their runs only repeat them.
  const named = !report.varying.length || [chosen.x, chosen.y].includes("run");
  for (const axis of axes.values()) {
    if (axis.path === "run" && !named) continue;
    const value = written(axis.values[picture.at[axis.index]]);
    parts.push(["sample", "task", "run"].includes(axis.path) ? value : `${axis.name} ${shortened(value, 40)}`);
  }
  return parts.join(" · ");
}

/** A metric's name and number, in units people read. */
function measured(name, number) {
  if (name.endsWith("_bytes")) return [name.replace(/_bytes$/, "_mib"), number / 2 ** 20];
  return [name, number];
}

function numberText(number) {
  if (number === undefined || number === null) return "";
  return Number.isInteger(number) ? String(number) : String(Number(number.toPrecision(4)));
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
  for (const piece of name.split(/(?<=[._])/)) pieces.append(piece, document.createElement("wbr"));
  return pieces;
}

function listed(pairs) {
  return element("dl", {}, ...pairs.flatMap(([name, value]) => [element("dt", {}, breakable(name)), element("dd", {}, value)]));
}
