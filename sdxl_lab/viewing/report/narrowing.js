// Filters and sorting, by hand: what is asked for becomes a chip, which can be taken off; how many pictures are left is said.

import { counted, element, offer, written } from "./elements.js";
import { axes, chosen, find, report, sessions } from "./data.js";
import { filterCode, filterOf, filterText, hasAny, looked, metrics } from "./looked.js";

const WORDS = "~";

/** What can be filtered or sorted by, but words: [path, name] of settings, then of metrics. */
function measures() {
  return [...[...axes.values()].map(({ path, name }) => [path, name]), ...report.metrics.filter(({ name }) => !axes.has(name)).map(({ name }) => [name, name])];
}

const isNumeric = (path) => !axes.has(path) || axes.get(path).values.every((value) => value === null || typeof value === "number");

/** Offer, for what is filtered by, the ways and the values that it has. */
function drawForm() {
  const [path, sign] = [find("filter-by").value, find("filter-sign").value];
  const ways = path === WORDS ? [[WORDS, "has"]] : [...(axes.has(path) ? [["=", "is"]] : []), ...(isNumeric(path) ? [[">=", "at least"], ["<=", "at most"]] : [])];
  const better = metrics.get(path)?.better;
  offer(find("filter-sign"), ways, ways.some(([way]) => way === sign) ? sign : better === "lower" ? "<=" : ways[0][0]);
  const way = find("filter-sign").value;
  find("filter-value").hidden = way !== "=";
  find("filter-number").hidden = ![">=", "<="].includes(way);
  find("filter-words").hidden = way !== WORDS;
  if (way === "=") offer(find("filter-value"), axes.get(path).values.map((value) => [JSON.stringify(value), written(value)]));
}

/** The filter that the form asks for; null if it is not filled in. */
function asked() {
  const [path, sign] = [find("filter-by").value, find("filter-sign").value];
  const text = find(sign === WORDS ? "filter-words" : sign === "=" ? "filter-value" : "filter-number").value.trim();
  if (!text) return null;
  return filterOf(sign === WORDS ? `~${text}` : `${path}${sign}${sign === "=" ? text : JSON.stringify(Number(text))}`);
}

function chipOf(filter, index, changed) {
  const text = filterText(filter);
  const chip = element("button", { type: "button", class: "chip", "aria-label": `Take off: ${text}`, title: "Take off (Enter, Delete)" }, element("span", {}, text), " ×");
  const takeOff = () => {
    chosen.filters = chosen.filters.filter((other) => other !== filter);
    changed();
    // The focus goes to the chip that came into its place.
    const chips = find("chips").querySelectorAll("button");
    (chips[Math.min(index, chips.length - 1)] ?? find("filter-by")).focus();
  };
  chip.addEventListener("click", takeOff);
  chip.addEventListener("keydown", ({ key }) => { if (["Delete", "Backspace"].includes(key)) takeOff(); });
  return element("li", {}, chip);
}

let redraw = () => {};

/** Show what is filtered and sorted by, and how many pictures are left. */
export function drawNarrowing() {
  find("chips").replaceChildren(...chosen.filters.map((filter, index) => chipOf(filter, index, redraw)));
  find("chips").hidden = !chosen.filters.length;
  const isNarrowed = chosen.filters.length || chosen.starred || chosen.marked;
  find("left").textContent = isNarrowed ? `${looked().length} of ${counted(report.pictures.length, "picture")}` : "";
  find("starred").checked = chosen.starred;
  const made = sessions.size ? "the order of making" : "the order of the runs";
  offer(find("sort"), [["", made], ...measures()], chosen.sort);
  find("direction").hidden = !chosen.sort;
  find("direction").textContent = chosen.down ? "↓ largest first" : "↑ smallest first";
}

/** What people were asked about leaves its own pictures at a click, where filters tell them from others here. */
function beginPreferred(changed) {
  for (const button of document.querySelectorAll("[data-only]")) {
    const filters = JSON.parse(button.dataset.only).map(filterOf);
    if (filters.includes(null) || !hasAny(filters)) {
      button.replaceWith(...button.childNodes);
      continue;
    }
    button.addEventListener("click", () => {
      chosen.filters = filters;
      changed();
      find("narrowed").scrollIntoView({ block: "nearest" });
    });
  }
}

export function beginNarrowing(changed) {
  redraw = changed;
  offer(find("filter-by"), [[WORDS, "the prompt"], ...measures()]);
  for (const id of ["filter-by", "filter-sign"]) find(id).addEventListener("change", drawForm);
  find("filter").addEventListener("submit", (event) => {
    event.preventDefault();
    const filter = asked();
    if (!filter) {
      find("filter").querySelector("input:not([hidden]), select:not([hidden])").focus();
      return;
    }
    if (chosen.filters.some((other) => filterCode(other) === filterCode(filter))) return;
    chosen.filters = [...chosen.filters, filter];
    for (const id of ["filter-words", "filter-number"]) find(id).value = "";
    changed();
  });
  find("sort").addEventListener("change", () => {
    // What is sorted is one line of pictures; where it is better comes first.
    Object.assign(chosen, { sort: find("sort").value, down: metrics.get(find("sort").value)?.better === "higher", layout: "gallery" });
    changed();
  });
  find("direction").addEventListener("click", () => { chosen.down = !chosen.down; changed(); });
  beginPreferred(changed);
  drawForm();
}
