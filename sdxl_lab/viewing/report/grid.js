// The table of pictures, drawn.

import { breakable, counted, element, listed, metricName, metricText, offer, shortened, written } from "./elements.js";
import { COMPARED_BY, Looking, PAN } from "./looking.js";
import { axes, byPaths, chosen, find, looked, lookedAt, nameOf, originalOf, pictureAt, picturesAt, report, runOf, sessions, settingsOf } from "./data.js";
import { columnsOf, fullest, galleryPages, isGallery, look, order, PAGE_COLUMNS, pages, pickedAxes, positionsAt, rowsOf } from "./axes.js";
import { drawGallery, galleryPx, headOf, madeBefore, moveInGallery } from "./gallery.js";
import { openViewer } from "./viewer.js";

export const SIZES_PX = [96, 128, 192, 256, 384, 512];

export const table = find("grid");
export const looking = new Looking(document.documentElement);

/** What a picture is compared with: its input, its mask, or the picture of another column or row. */
function beforeOf(picture, positions) {
  if (picture.state !== "done" || !chosen.compare) return null;
  if (report.roles.includes(chosen.compare)) return chosen.compare in picture ? { ...picture, sha256: picture[chosen.compare] } : null;
  if (chosen.compare === "previous") return madeBefore(picture);
  const [axis, value] = chosen.compare.split(":");
  const path = axis === "x" ? chosen.x : chosen.y;
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

function cell(column, row, shareOf) {
  const positions = positionsAt(column, row);
  const picture = pictureAt(positions);
  if (!picture) return element("td", {}, element("div", { class: "none", title: "This combination was not planned" }, "–"));
  const opener = picture.state === "done" && picture.sha256 ? openerOf(picture, positions) : gapOf(picture);
  opener.addEventListener("click", () => openViewer(picture));
  opener.style.setProperty("--share", String(shareOf(picture)));
  return element("td", {}, element("figure", {}, opener, headOf(picture), ...numbersOf(picture)));
}

/** The metrics that are chosen to stand under each picture. */
export function numbersOf(picture) {
  const shown = new Set([...find("metrics").querySelectorAll("input:checked")].map((input) => input.value));
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
  const offered = [["", "nothing"], ...report.roles.map((role) => [role, `the ${role}`]), ...previous, ...others("x", chosen.x, columnsOf()), ...others("y", chosen.y, rowsOf())];
  offer(find("compare"), offered, chosen.compare);
  chosen.compare = find("compare").value;
  find("split-label").hidden = !chosen.compare;
}

/** The page that is looked at, of the gallery or of the table. */
export function drawPage() {
  const all = isGallery() ? galleryPages() : pages();
  chosen.page = Math.min(chosen.page, all.length - 1);
  if (isGallery()) drawGallery(all[chosen.page]);
  else drawTable(all[chosen.page]);
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
  table.hidden = none || isGallery();
  find("empty").hidden = !none;
  find("empty").textContent = none ? "No picture was planned with this choice; choose other values above." : "";
}

function drawTable({ columns, rows }) {
  find("gallery").replaceChildren();
  const shown = order();
  const shareOf = sharesOf(shown);
  table.style.setProperty("--columns", String(columns.length));
  const head = element("tr", {}, corner(), ...columns.map((column) => header(chosen.x, column, "col")));
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...rows.map((row) => {
    const label = chosen.y ? header(chosen.y, row, "row") : element("td");
    if (chosen.y) label.append(promptOf(chosen.y, columns.map((column) => positionsAt(column, row))));
    return element("tr", {}, label, ...columns.map((column) => cell(column, row, shareOf)));
  }));
  const isPart = shown.length < looked().length;
  table.caption.textContent = isPart ? `${shown.length} of ${counted(looked().length, "picture")}; other values above show the others` : "";
}

function draw() {
  find("layout").value = chosen.layout;
  for (const control of document.querySelectorAll(".of-table")) control.hidden = isGallery();
  const offered = [...axes.values()].map((axis) => [axis.path, axis.name]);
  offer(find("x"), offered, chosen.x);
  offer(find("y"), [...offered.filter(([path]) => path !== chosen.x), ["", "nothing"]], chosen.y ?? "");
  chosen.y = find("y").value || null;
  find("swap").disabled = !chosen.y;
  drawPickers();
  drawCompare();
  drawPage();
}

function setAxes(x, y) {
  const moved = { x, y: y === x ? (chosen.x === x ? chosen.y : chosen.x) : y };
  if (moved.x !== chosen.x || moved.y !== chosen.y) chosen.compare = /^[xy]:/.test(chosen.compare) ? "" : chosen.compare;
  Object.assign(chosen, moved, { page: 0 });
  if (!columnsOf().length) look(fullest(chosen.x, chosen.y));
  draw();
}

/** Move the focus from one picture to its neighbor. */
function moveFocus(event) {
  if (event.shiftKey || !(event.key in PAN) || !event.target.matches("#grid button")) return;
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

function drawSummary() {
  const [kept, ofRuns] = [report.pictures.filter((picture) => picture.number), report.pictures.filter((picture) => !picture.number)];
  const count = (state) => ofRuns.filter((picture) => picture.state === state).length;
  const planned = `${counted(ofRuns.length, "picture")} planned in ${counted(new Set(ofRuns.map(runOf)).size, "run")}`;
  const parts = ["done", "failed", "missing"].filter(count).map((state) => `${count(state)} ${state === "done" ? "made" : state}`);
  const stars = kept.filter((picture) => picture.starred).length;
  find("summary").textContent = [
    ofRuns.length && `${planned}: ${count("done") === ofRuns.length ? "all made" : parts.join(", ")}`,
    kept.length && `${counted(kept.length, "picture")} of ${counted(sessions.size, "session")}${stars ? `, ${stars} starred` : ""}`,
  ].filter(Boolean).join("; ");
  const gaps = report.pictures.filter((picture) => picture.state !== "done");
  find("gaps").hidden = !gaps.length;
  find("gaps").querySelector("summary").textContent = `${counted(gaps.length, "picture")} failed or missing`;
  find("gaps").querySelector("ul").append(...gaps.map((picture) => element("li", { class: picture.state },
    element("b", {}, picture.state), ` ${nameOf(picture)}${picture.message ? `: ${picture.message}` : ""}`)));
  const [head, ...others] = report.settings;
  const same = Object.entries(head).filter(([path, value]) => others.every((flat) => JSON.stringify(flat[path]) === JSON.stringify(value)));
  find("same").querySelector("dl").replaceWith(listed(same.map(([path, value]) => [path, written(value)])));
}

function firstSize() {
  if (isGallery()) return galleryPx();
  const widest = Math.max(...report.pictures.map((picture) => picture.width ?? 0), 64);
  const room = (window.innerWidth - 200) / Math.max(1, Math.min(columnsOf().length, PAGE_COLUMNS)) - 20;
  const fitting = SIZES_PX.filter((size) => size <= room && size <= Math.max(256, widest));
  return Math.max(128, fitting.at(-1) ?? 0);
}

export function begin() {
  const boxes = report.metrics.map((metric) => element("label", {}, element("input", { type: "checkbox", value: metric.name, checked: metric.first }), " ", metricName(metric)));
  find("metrics").querySelector("div").append(...boxes);
  find("metrics").addEventListener("change", drawPage);
  find("layout").addEventListener("change", () => { Object.assign(chosen, { layout: find("layout").value, page: 0 }); draw(); });
  find("starred-label").hidden = !report.pictures.some((picture) => picture.starred);
  find("starred").addEventListener("change", () => {
    Object.assign(chosen, { starred: find("starred").checked, page: 0 });
    byPaths.clear();
    if (!columnsOf().length) look(fullest(chosen.x, chosen.y));
    draw();
  });
  find("x").addEventListener("change", () => setAxes(find("x").value, chosen.y));
  find("y").addEventListener("change", () => setAxes(chosen.x, find("y").value || null));
  find("swap").addEventListener("click", () => setAxes(chosen.y, chosen.x));
  find("compare").addEventListener("change", () => { chosen.compare = find("compare").value; drawCompare(); drawPage(); });
  find("split").addEventListener("input", () => looking.show({ split: Number(find("split").value) }));
  find("zoom").addEventListener("input", () => looking.show({ zoom: 2 ** Number(find("zoom").value) }));
  for (const select of document.querySelectorAll(".by")) {
    offer(select, COMPARED_BY);
    select.addEventListener("change", () => looking.compareBy(select.value));
  }
  looking.follow(({ split, zoom }) => {
    find("split").value = split;
    find("zoom").value = Math.log2(zoom);
    find("zoom-value").textContent = looking.zoomText;
    for (const select of document.querySelectorAll(".by")) select.value = looking.comparedBy;
  });
  offer(find("size"), SIZES_PX.map((size) => [String(size), `${size} px`]), String(firstSize()));
  const resize = () => document.documentElement.style.setProperty("--cell", `${find("size").value}px`);
  find("size").addEventListener("change", resize);
  const nav = document.querySelector(".pages");
  document.querySelector("main").append(nav.cloneNode(true));
  document.addEventListener("click", (event) => {
    const turn = event.target.closest("[data-turn]");
    if (!turn) return;
    chosen.page += Number(turn.dataset.turn);
    drawPage();
    nav.scrollIntoView({ block: "nearest" });
  });
  table.addEventListener("keydown", moveFocus);
  find("gallery").addEventListener("keydown", moveInGallery);
  new ResizeObserver(([entry]) => {
    const sticks = getComputedStyle(entry.target).top === "0px";
    document.documentElement.style.setProperty("--bar", sticks ? `${entry.target.offsetHeight}px` : "0px");
  }).observe(find("bar"));
  // A scrollbar at the side belongs to 100vw, and not to what can be seen.
  new ResizeObserver(([entry]) => entry.target.style.setProperty("--view", `${entry.target.clientWidth}px`)).observe(document.documentElement);
  resize();
  drawSummary();
  draw();
}
