// The controls above the pictures: layout, axes, what is picked, what pictures are compared with, and their size.

import { element, metricName, offer, written } from "./elements.js";
import { COMPARED_BY } from "./looking.js";
import { axes, chosen, find, report } from "./data.js";
import { looked, lookAgain, picturesAt } from "./looked.js";
import { beginMarks, drawMarks } from "./marks.js";
import { columnsOf, fullest, gridsOf, isGallery, look, PAGE_COLUMNS, pickedAxes, rowsOf } from "./axes.js";
import { drawPage, looking, moveFocus, SIZES_PX } from "./grid.js";
import { galleryPx, moveInGallery } from "./gallery.js";
import { beginNarrowing, drawNarrowing } from "./narrowing.js";
import { drawSummary } from "./summary.js";
import { viewedPicture } from "./viewer.js";
import { remember } from "./link.js";

function drawPickers() {
  const picked = isGallery() ? [] : pickedAxes();
  find("pickers").replaceChildren(...picked.map((path) => {
    const axis = axes.get(path);
    const others = picked.filter((other) => other !== path).map((other) => [other, chosen.picks.get(other)]);
    const select = element("select", { id: `pick-${axis.index}`, title: axis.path });
    offer(select, axis.values.map((value, index) => {
      const empty = picturesAt([...others, [path, index]]).length ? "" : " (nothing)";
      return [String(index), written(value) + empty];
    }), String(chosen.picks.get(path)));
    select.addEventListener("change", () => {
      chosen.picks.set(path, Number(select.value));
      chosen.page = 0;
      draw();
      find(select.id)?.focus();
    });
    return element("label", {}, `${axis.name} `, select);
  }));
}

function drawCompare() {
  const others = (letter, path, shown) => (path && !isGallery() ? shown.map((index) => [`${letter}:${index}`, `${axes.get(path).name} ${written(axes.get(path).values[index])}`]) : []);
  const previous = isGallery() && looked().length > 1 ? [["previous", "the picture before it"]] : [];
  const offered = [["", "nothing"], ...report.roles.map((role) => [role, `the ${role}`]), ...previous, ...others("x", chosen.x, columnsOf()), ...others("y", chosen.y, rowsOf()), ...others("z", chosen.z, gridsOf())];
  offer(find("compare"), offered, chosen.compare);
  chosen.compare = find("compare").value;
  find("split-label").hidden = !chosen.compare;
}

export function draw() {
  find("layout").value = chosen.layout;
  for (const control of document.querySelectorAll(".of-table")) control.hidden = isGallery();
  const offered = [...axes.values()].map((axis) => [axis.path, axis.name]);
  offer(find("x"), offered, chosen.x);
  offer(find("y"), [...offered.filter(([path]) => path !== chosen.x), ["", "nothing"]], chosen.y ?? "");
  chosen.y = find("y").value || null;
  const more = pickedAxes(chosen.x, chosen.y, null).map((path) => [path, axes.get(path).name]);
  offer(find("z"), [["", "nothing"], ...more], chosen.z ?? "");
  chosen.z = find("z").value || null;
  find("z").parentElement.hidden = isGallery() || !more.length;
  find("swap").disabled = !chosen.y;
  drawPickers();
  drawCompare();
  drawNarrowing();
  drawMarks();
  drawPage();
  remember();
}

/** Draw again after filters have changed: where the table has nothing of what is left, with other picks. */
export function drawNarrowed() {
  chosen.page = 0;
  lookAgain();
  if (!isGallery() && !columnsOf().length && looked().length) look(fullest(chosen.x, chosen.y));
  draw();
}

function setAxes(x, y) {
  const moved = { x, y: y === x ? (chosen.x === x ? chosen.y : chosen.x) : y };
  if (moved.x !== chosen.x || moved.y !== chosen.y) chosen.compare = /^[xyz]:/.test(chosen.compare) ? "" : chosen.compare;
  Object.assign(chosen, moved, { page: 0, z: [moved.x, moved.y].includes(chosen.z) ? null : chosen.z });
  if (!columnsOf().length && looked().length) look(fullest(chosen.x, chosen.y));
  draw();
}

/** One table for each value of a third axis, so small that some stand beside each other. */
function setGrids(z) {
  Object.assign(chosen, { z, page: 0, compare: chosen.compare.startsWith("z:") ? "" : chosen.compare });
  if (!columnsOf().length && looked().length) look(fullest(chosen.x, chosen.y));
  resizeTo(firstSize());
  draw();
}

function firstSize() {
  if (isGallery()) return galleryPx();
  const beside = Math.min(gridsOf().length, window.innerWidth < 700 ? 1 : 2);
  const widest = Math.max(...report.pictures.map((picture) => picture.width ?? 0), 64);
  const room = (window.innerWidth / beside - (beside > 1 ? 130 : 200)) / Math.max(1, Math.min(columnsOf().length, PAGE_COLUMNS)) - 20;
  const fitting = SIZES_PX.filter((size) => size <= room && size <= Math.max(256, widest));
  return Math.max(beside > 1 ? SIZES_PX[0] : 128, fitting.at(-1) ?? 0);
}

function resizeTo(px) {
  find("size").value = String(px);
  document.documentElement.style.setProperty("--cell", `${px}px`);
}

function beginLooking() {
  find("compare").addEventListener("change", () => { chosen.compare = find("compare").value; drawCompare(); drawPage(); remember(); });
  find("split").addEventListener("input", () => looking.show({ split: Number(find("split").value) }));
  find("zoom").addEventListener("input", () => looking.show({ zoom: 2 ** Number(find("zoom").value) }));
  for (const select of document.querySelectorAll(".by")) {
    offer(select, COMPARED_BY);
    select.addEventListener("change", () => { looking.compareBy(select.value); remember({ isStep: false }); });
  }
  looking.follow(({ split, zoom }) => {
    find("split").value = split;
    find("zoom").value = Math.log2(zoom);
    find("zoom-value").textContent = looking.zoomText;
    for (const select of document.querySelectorAll(".by")) select.value = looking.comparedBy;
  });
  offer(find("size"), SIZES_PX.map((size) => [String(size), `${size} px`]));
  find("size").addEventListener("change", () => resizeTo(find("size").value));
}

function beginPages() {
  const nav = document.querySelector(".pages");
  document.querySelector("main").append(nav.cloneNode(true));
  document.addEventListener("click", (event) => {
    const turn = event.target.closest("[data-turn]");
    if (!turn) return;
    chosen.page += Number(turn.dataset.turn);
    drawPage();
    remember({ isStep: false });
    nav.scrollIntoView({ block: "nearest" });
  });
}

/** Begin with what was chosen before anything is drawn. */
export function begin() {
  const boxes = report.metrics.map((metric) => element("label", {}, element("input", { type: "checkbox", value: metric.name, checked: metric.first }), " ", metricName(metric)));
  find("metrics").querySelector("div").append(...boxes);
  find("metrics").addEventListener("change", drawPage);
  find("layout").addEventListener("change", () => {
    // Tables have an order of their own.
    Object.assign(chosen, { layout: find("layout").value, sort: "" });
    drawNarrowed();
  });
  find("starred-label").hidden = !report.pictures.some((picture) => picture.starred);
  find("starred").addEventListener("change", () => { chosen.starred = find("starred").checked; drawNarrowed(); });
  find("marked").addEventListener("change", () => { chosen.marked = find("marked").checked; drawNarrowed(); });
  find("x").addEventListener("change", () => setAxes(find("x").value, chosen.y));
  find("y").addEventListener("change", () => setAxes(chosen.x, find("y").value || null));
  find("z").addEventListener("change", () => setGrids(find("z").value || null));
  find("swap").addEventListener("click", () => setAxes(chosen.y, chosen.x));
  beginNarrowing(drawNarrowed);
  const focused = () => report.pictures[document.activeElement?.closest("main [data-picture]")?.dataset.picture];
  beginMarks(() => (chosen.marked ? drawNarrowed() : drawMarks()), () => viewedPicture() ?? focused());
  beginLooking();
  beginPages();
  find("grids").addEventListener("keydown", moveFocus);
  find("gallery").addEventListener("keydown", moveInGallery);
  new ResizeObserver(([entry]) => {
    const sticks = getComputedStyle(entry.target).top === "0px";
    document.documentElement.style.setProperty("--bar", sticks ? `${entry.target.offsetHeight}px` : "0px");
  }).observe(find("bar"));
  // A scrollbar at the side belongs to 100vw, and not to what can be seen.
  new ResizeObserver(([entry]) => entry.target.style.setProperty("--view", `${entry.target.clientWidth}px`)).observe(document.documentElement);
  resizeTo(firstSize());
  drawSummary();
  draw();
}
