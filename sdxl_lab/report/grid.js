"use strict";
// The table of pictures: two settings as axes, the others picked; a page of it at a time, so that only what is in view is decoded.

const PAGE_PICTURES = 48;
const PAGE_COLUMNS = 12;
const SIZES_PX = [96, 128, 192, 256, 384, 512];
const FIRST_METRICS = ["change_outside_max", "seam_delta_e", "ssim_outside", "colour_as_asked", "steps"];

const table = find("grid");
const chosen = { x: report.x, y: report.y, page: 0, compare: "", picks: new Map() };
const metricNames = [...new Set(report.pictures.flatMap((picture) => Object.keys(picture.metrics ?? {})))];
const first = report.pictures.find((picture) => picture.state === "done") ?? report.pictures[0];
for (const axis of axes.values()) chosen.picks.set(axis.path, first.at[axis.index]);

/** The axes that are picked one value at a time. A run has one value of each setting, so where runs are an axis, settings are none. */
function pickedAxes() {
  const shown = [chosen.x, chosen.y];
  const byRun = shown.includes("run");
  return [...axes.keys()].filter((path) => !shown.includes(path) && (byRun ? ["sample", "task"].includes(path) : path !== "run" || !report.varying.length));
}

function positionsAt(column, row) {
  const positions = pickedAxes().map((path) => [path, chosen.picks.get(path)]);
  positions.push([chosen.x, column]);
  if (chosen.y) positions.push([chosen.y, row]);
  return positions;
}

const columnsOf = () => axes.get(chosen.x).values.map((_, index) => index);
const rowsOf = () => (chosen.y ? axes.get(chosen.y).values.map((_, index) => index) : [0]);

/** All pictures of the table, whatever page they are on, row by row. */
function order() {
  return rowsOf().flatMap((row) => columnsOf().map((column) => pictureAt(positionsAt(column, row)))).filter(Boolean);
}

function pages() {
  const columns = columnsOf();
  const rows = rowsOf();
  const across = Math.min(columns.length, PAGE_COLUMNS);
  const down = Math.max(1, Math.floor(PAGE_PICTURES / across));
  const found = [];
  for (let row = 0; row < rows.length; row += down) {
    for (let column = 0; column < columns.length; column += across) {
      found.push({ columns: columns.slice(column, column + across), rows: rows.slice(row, row + down) });
    }
  }
  return found;
}

/** Digest of what a picture is compared with: its input, its mask, or the picture of another column or row. */
function beforeOf(picture, positions) {
  if (picture.state !== "done" || !chosen.compare) return null;
  if (chosen.compare === "input" || chosen.compare === "mask") return picture[chosen.compare];
  const [axis, value] = chosen.compare.split(":");
  const path = axis === "x" ? chosen.x : chosen.y;
  const other = pictureAt(positions.map(([name, index]) => [name, name === path ? Number(value) : index]));
  return other && other !== picture ? other.sha256 : null;
}

function cell(column, row) {
  const positions = positionsAt(column, row);
  const picture = pictureAt(positions);
  if (!picture) return element("td", {}, element("div", { class: "none", title: "This combination was not planned" }, "–"));
  const opener = picture.state === "done" && picture.sha256 ? openerOf(picture, positions) : gapOf(picture);
  opener.addEventListener("click", () => openViewer(picture));
  const figure = element("figure", {}, opener);
  if (picture.metrics) {
    const shown = [...find("metrics").querySelectorAll("input:checked")].map((input) => input.value).filter((name) => name in picture.metrics);
    const pairs = shown.map((name) => measured(name, picture.metrics[name])).map(([name, number]) => [name, numberText(number)]);
    if (pairs.length) figure.append(listed(pairs));
  }
  return element("td", {}, figure);
}

function openerOf(picture, positions) {
  return element("button", { type: "button", class: "open", "aria-label": `${nameOf(picture)}: open` }, framed(picture, beforeOf(picture, positions)));
}

function gapOf(picture) {
  const text = picture.state === "failed" ? (picture.message.split("\n")[0] || "no reason was given") : "not made yet";
  const state = picture.state === "done" ? "missing" : picture.state;
  const gap = element("button", { type: "button", class: `gap ${state}`, "aria-label": `${nameOf(picture)}: ${state}, ${text}` });
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
  return prompts.size === 1 ? element("small", {}, shortened([...prompts][0], 80)) : "";
}

/** The table's corner, which names both axes. */
function corner() {
  const across = element("span", { class: "across" }, breakable(axes.get(chosen.x).name), " →");
  const down = chosen.y ? element("span", { class: "down" }, breakable(axes.get(chosen.y).name), " ↓") : "";
  return element("td", { class: "corner" }, across, down);
}

function drawPickers() {
  const picked = pickedAxes();
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
  const others = (letter, path) => (path ? axes.get(path).values.map((value, index) => [`${letter}:${index}`, `${axes.get(path).name} ${written(value)}`]) : []);
  const offered = [["", "nothing"], ["input", "the input"], ["mask", "the mask"], ...others("x", chosen.x), ...others("y", chosen.y)];
  offer(find("compare"), offered, chosen.compare);
  chosen.compare = find("compare").value;
  find("split-label").hidden = !chosen.compare;
}

function drawTable() {
  const all = pages();
  chosen.page = Math.min(chosen.page, all.length - 1);
  const { columns, rows } = all[chosen.page];
  const head = element("tr", {}, corner(), ...columns.map((column) => header(chosen.x, column, "col")));
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...rows.map((row) => {
    const label = chosen.y ? header(chosen.y, row, "row") : element("td");
    if (chosen.y) label.append(promptOf(chosen.y, columns.map((column) => positionsAt(column, row))));
    return element("tr", {}, label, ...columns.map((column) => cell(column, row)));
  }));
  for (const nav of document.querySelectorAll(".pages")) {
    nav.hidden = all.length < 2;
    nav.querySelector(".page").textContent = `Page ${chosen.page + 1} of ${all.length}`;
    for (const button of nav.querySelectorAll("button")) {
      const page = chosen.page + Number(button.dataset.turn);
      button.disabled = page < 0 || page >= all.length;
    }
  }
  const none = !table.querySelector("figure");
  find("empty").hidden = !none;
  find("empty").textContent = none ? "No picture was planned with this choice; choose other values above." : "";
}

function draw() {
  const offered = [...axes.values()].map((axis) => [axis.path, axis.name]);
  offer(find("x"), offered, chosen.x);
  offer(find("y"), [...offered.filter(([path]) => path !== chosen.x), ["", "nothing"]], chosen.y ?? "");
  chosen.y = find("y").value || null;
  find("swap").disabled = !chosen.y;
  drawPickers();
  drawCompare();
  drawTable();
}

function setAxes(x, y) {
  const moved = { x, y: y === x ? (chosen.x === x ? chosen.y : chosen.x) : y };
  if (moved.x !== chosen.x || moved.y !== chosen.y) chosen.compare = /^[xy]:/.test(chosen.compare) ? "" : chosen.compare;
  Object.assign(chosen, moved, { page: 0 });
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
  const count = (state) => report.pictures.filter((picture) => picture.state === state).length;
  const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const planned = `${plural(report.pictures.length, "picture")} planned in ${plural(report.runs.length, "run")}`;
  const parts = ["done", "failed", "missing"].filter(count).map((state) => `${count(state)} ${state === "done" ? "made" : state}`);
  find("summary").textContent = `${planned}: ${count("done") === report.pictures.length ? "all made" : parts.join(", ")}`;
  const gaps = report.pictures.filter((picture) => picture.state !== "done");
  find("gaps").hidden = !gaps.length;
  find("gaps").querySelector("summary").textContent = `${plural(gaps.length, "picture")} failed or missing`;
  find("gaps").querySelector("ul").append(...gaps.map((picture) => element("li", { class: picture.state },
    element("b", {}, picture.state), ` ${nameOf(picture)}${picture.message ? `: ${picture.message}` : ""}`)));
  const [head, ...others] = report.settings;
  const same = Object.entries(head).filter(([path, value]) => others.every((flat) => JSON.stringify(flat[path]) === JSON.stringify(value)));
  find("same").querySelector("dl").replaceWith(listed(same.map(([path, value]) => [path, written(value)])));
}

function firstSize() {
  const widest = Math.max(...report.pictures.map((picture) => picture.width ?? 0), 64);
  const room = (window.innerWidth - 200) / Math.min(columnsOf().length, PAGE_COLUMNS) - 12;
  const fitting = SIZES_PX.filter((size) => size <= room && size <= Math.max(256, widest));
  return Math.max(128, fitting.at(-1) ?? 0);
}

function begin() {
  const boxes = metricNames.map((name) => element("label", {}, element("input", {
    type: "checkbox", value: name, checked: FIRST_METRICS.includes(name),
  }), ` ${name}`));
  find("metrics").querySelector("div").append(...boxes);
  find("metrics").addEventListener("change", drawTable);
  find("x").addEventListener("change", () => setAxes(find("x").value, chosen.y));
  find("y").addEventListener("change", () => setAxes(chosen.x, find("y").value || null));
  find("swap").addEventListener("click", () => setAxes(chosen.y, chosen.x));
  find("compare").addEventListener("change", () => { chosen.compare = find("compare").value; drawCompare(); drawTable(); });
  find("split").addEventListener("input", () => show({ split: Number(find("split").value) }));
  find("zoom").addEventListener("input", () => show({ zoom: 2 ** Number(find("zoom").value) }));
  followers.push(() => {
    find("split").value = view.split;
    find("zoom").value = Math.log2(view.zoom);
    find("zoom-value").textContent = zoomText();
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
    drawTable();
    nav.scrollIntoView({ block: "nearest" });
  });
  table.addEventListener("keydown", moveFocus);
  new ResizeObserver(([entry]) => {
    const sticks = getComputedStyle(entry.target).top === "0px";
    document.documentElement.style.setProperty("--bar", sticks ? `${entry.target.offsetHeight}px` : "0px");
  }).observe(find("bar"));
  resize();
  drawSummary();
  draw();
  show({});
}
