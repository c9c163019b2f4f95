// Pictures in tables, drawn: one table, or one for each value of a third axis.

import { breakable, counted, element, metricName, metricText, shortened, written } from "./elements.js";
import { Looking, PAN } from "./looking.js";
import { axes, chosen, find, lookedAt, nameOf, originalOf, report, settingsOf } from "./data.js";
import { looked, pictureAt } from "./looked.js";
import { markerOf } from "./marks.js";
import { galleryPages, isGallery, order, pages, positionsAt } from "./axes.js";
import { drawGallery, headOf, madeBefore } from "./gallery.js";
import { openViewer } from "./viewer.js";

export const SIZES_PX = [96, 128, 192, 256, 384, 512];

export const table = find("grid");
export const looking = new Looking(document.documentElement);

/** What a picture is compared with: its input, its mask, or the picture of another column, row or table. */
function beforeOf(picture, positions) {
  if (picture.state !== "done" || !chosen.compare) return null;
  if (report.roles.includes(chosen.compare)) return chosen.compare in picture ? { ...picture, sha256: picture[chosen.compare] } : null;
  if (chosen.compare === "previous") return madeBefore(picture);
  const [letter, value] = chosen.compare.split(":");
  const path = chosen[letter];
  const other = pictureAt(positions.map(([name, index]) => [name, name === path ? Number(value) : index]));
  return other && other !== picture ? other : null;
}

/** How wide each picture is drawn, as a share of its cell: what pictures of a sample have in common is of one size, whatever was added around it. */
function sharesOf(pictures) {
  const extent = (picture) => (picture.width ? picture.width / originalOf(picture).width : 1);
  const widest = new Map();
  for (const picture of pictures) widest.set(settingsOf(picture).sample, Math.max(extent(picture), widest.get(settingsOf(picture).sample) ?? 1));
  return (picture) => extent(picture) / widest.get(settingsOf(picture).sample);
}

function cell(positions, shareOf) {
  const picture = pictureAt(positions);
  if (!picture) return element("td", {}, element("div", { class: "none", title: "This combination was not planned, or is left out by a filter" }, "–"));
  const opener = picture.state === "done" && picture.sha256 ? openerOf(picture, positions) : gapOf(picture);
  opener.addEventListener("click", () => openViewer(picture));
  opener.style.setProperty("--share", String(shareOf(picture)));
  return element("td", {}, element("figure", {}, opener, ...markersOf(picture), headOf(picture), ...numbersOf(picture)));
}

/** The button that marks a picture, if it was made. */
export const markersOf = (picture) => (picture.state === "done" ? [markerOf(picture)] : []);

/** The metrics that are chosen to stand under each picture, and those that pictures are sorted and filtered by. */
export function numbersOf(picture) {
  const boxes = [...find("metrics").querySelectorAll("input:checked")];
  const shown = new Set([chosen.sort, ...chosen.filters.map(({ path }) => path), ...boxes.map((input) => input.value)]);
  const measured = report.metrics.filter(({ name }) => shown.has(name) && name in (picture.metrics ?? {}));
  const pairs = measured.map((metric) => [element("dt", {}, metricName(metric)), element("dd", {}, metricText(metric, picture.metrics[metric.name], { digits: 3 }))]);
  return pairs.length ? [element("dl", {}, ...pairs.map((pair) => element("div", {}, ...pair)))] : [];
}

export function openerOf(picture, positions) {
  return element("button", { type: "button", class: "open", "data-picture": picture.index, "aria-label": `${nameOf(picture)}: open` }, looking.framed(lookedAt(picture), lookedAt(beforeOf(picture, positions))));
}

export function gapOf(picture) {
  const text = picture.state === "failed" ? (picture.message.split("\n")[0] || "no reason was given") : "not made yet";
  const state = picture.state === "done" ? "missing" : picture.state;
  const gap = element("button", { type: "button", class: `gap ${state}`, "data-picture": picture.index, "aria-label": `${nameOf(picture)}: ${state}, ${text}` });
  gap.append(element("strong", {}, state), element("span", {}, text));
  const like = report.pictures.find((other) => other.width);
  if (like) gap.style.setProperty("--shape", `${like.width} / ${like.height}`);
  return gap;
}

function header(path, index, scope) {
  const axis = axes.get(path);
  const text = written(axis.values[index]);
  return element("th", { scope, title: `${axis.path}: ${text}`, "aria-label": `${axis.name} ${text}` }, breakable(shortened(text, 80)));
}

/** The prompt that all pictures of a row or column have, if it is a sample's and they have one. */
function promptOf(path, positions) {
  if (path !== "sample") return "";
  const prompts = new Set(positions.map(pictureAt).filter(Boolean).map((picture) => settingsOf(picture).prompt));
  return prompts.size === 1 ? element("small", { dir: "auto" }, shortened([...prompts][0], 80)) : "";
}

/** The table's corner, which names both axes. */
function corner() {
  const across = element("span", { class: "across" }, breakable(axes.get(chosen.x).name), " →");
  const down = chosen.y ? element("span", { class: "down" }, breakable(axes.get(chosen.y).name), " ↓") : "";
  return element("td", { class: "corner" }, across, down);
}

/** The page that is looked at, of the gallery or of the table. */
export function drawPage() {
  const all = isGallery() ? galleryPages() : pages();
  chosen.page = Math.min(chosen.page, all.length - 1);
  if (isGallery()) drawGallery(all[chosen.page]);
  else drawTables(all[chosen.page]);
  find("gallery").hidden = !isGallery();
  for (const nav of document.querySelectorAll(".pages")) {
    nav.hidden = all.length < 2;
    nav.querySelector(".page").textContent = `Page ${chosen.page + 1} of ${all.length}`;
    for (const button of nav.querySelectorAll("button")) {
      const page = chosen.page + Number(button.dataset.turn);
      button.disabled = page < 0 || page >= all.length;
    }
  }
  const none = !document.querySelector("main figure");
  find("grids").hidden = none || isGallery();
  find("empty").hidden = !none;
  const isNarrowed = !looked().length && report.pictures.length;
  find("empty").textContent = none ? (isNarrowed ? "No picture passes these filters; take one off above." : "No picture was planned with this choice; choose other values above.") : "";
}

function drawTables(page) {
  find("gallery").replaceChildren();
  const shown = order();
  const shareOf = sharesOf(shown);
  const tables = page.grids.map((_, index) => (index ? element("table", { class: "grid" }, element("caption"), element("thead"), element("tbody")) : table));
  find("grids").replaceChildren(...(tables.length ? tables : [table]));
  find("grids").classList.toggle("several", Boolean(chosen.z));
  const isPart = shown.length < looked().length;
  if (!tables.length) drawTable(table, page, 0, shareOf);
  for (const [index, grid] of page.grids.entries()) drawTable(tables[index], page, grid, shareOf);
  if (chosen.z) return;
  table.caption.textContent = isPart ? `${shown.length} of ${counted(looked().length, "picture")}; other values above show the others` : "";
}

function drawTable(drawn, { columns, rows }, grid, shareOf) {
  drawn.style.setProperty("--columns", String(columns.length));
  drawn.tHead.replaceChildren(element("tr", {}, corner(), ...columns.map((column) => header(chosen.x, column, "col"))));
  drawn.tBodies[0].replaceChildren(...rows.map((row) => {
    const positions = columns.map((column) => positionsAt(column, row, grid));
    const label = chosen.y ? header(chosen.y, row, "row") : element("td");
    if (chosen.y) label.append(promptOf(chosen.y, positions));
    return element("tr", {}, label, ...positions.map((each) => cell(each, shareOf)));
  }));
  drawn.caption.className = chosen.z ? "" : "quiet";
  if (!chosen.z) return;
  const axis = axes.get(chosen.z);
  drawn.caption.replaceChildren(element("strong", {}, `${axis.name} ${shortened(written(axis.values[grid]), 60)}`));
}

/** Move the focus from one picture to its neighbor in the same table. */
export function moveFocus(event) {
  if (event.shiftKey || !(event.key in PAN) || !event.target.matches(".grid button")) return;
  const [across, down] = PAN[event.key];
  const from = event.target.closest("td");
  let row = from.parentElement;
  let index = from.cellIndex;
  do {
    index += across;
    row = down > 0 ? row.nextElementSibling : down < 0 ? row.previousElementSibling : row;
    const to = row?.cells[index]?.querySelector("button");
    if (to) to.focus();
    if (to || !row?.cells[index]) break;
  } while (true);
  event.preventDefault();
}

