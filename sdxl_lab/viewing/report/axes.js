// What is seen: a gallery of all pictures, or a table with two settings as axes, or one such table for each value of a third, the others picked.
// A page of it at a time, so that only these pictures are decoded.

import { axes, chosen, report, sessions } from "./data.js";
import { looked, pictureAt, picturesAt } from "./looked.js";

const PAGE_PICTURES = 48;
export const PAGE_COLUMNS = 12;
const GRIDS_PICTURES = 96;
const GALLERY_PICTURES = 120;
const LONG_LINE = 8;
const LEAST_SHARE = 0.5;

export const isGallery = () => chosen.layout === "gallery";

/** The axes that are picked one value at a time. A run has one value of each setting, so where runs are an axis, settings are none. */
export function pickedAxes(x = chosen.x, y = chosen.y, z = chosen.z) {
  const byRun = [x, y, z].includes("run");
  const others = [...axes.keys()].filter((path) => ![x, y, z].includes(path));
  return others.filter((path) => (byRun ? ["sample", "task"].includes(path) : path !== "run" || !report.varying.length));
}

export function positionsAt(column, row, grid) {
  const positions = pickedAxes().map((path) => [path, chosen.picks.get(path)]);
  positions.push([chosen.x, column]);
  if (chosen.y) positions.push([chosen.y, row]);
  if (chosen.z) positions.push([chosen.z, grid]);
  return positions;
}

/** The values of an axis for which anything was planned with what is picked. */
function valuesOf(path) {
  const picked = pickedAxes().map((other) => [other, chosen.picks.get(other)]);
  return [...new Set(picturesAt(picked).map((picture) => picture.at[axes.get(path).index]))].sort((a, b) => a - b);
}

export const columnsOf = () => valuesOf(chosen.x);
export const rowsOf = () => (chosen.y ? valuesOf(chosen.y) : [0]);
export const gridsOf = () => (chosen.z ? valuesOf(chosen.z) : [0]);

/** All pictures that are seen, whatever page they are on: one after the other, or row by row. */
export function order() {
  if (isGallery()) return looked();
  return picturesOf({ grids: gridsOf(), columns: columnsOf(), rows: rowsOf() });
}

/** The pictures of some grids, row by row. */
function picturesOf({ grids, columns, rows }) {
  return grids.flatMap((grid) => rows.flatMap((row) => columns.map((column) => pictureAt(positionsAt(column, row, grid))))).filter(Boolean);
}

/** What each page of the gallery holds. */
export function galleryPages() {
  const pictures = looked();
  return Array.from({ length: Math.max(1, Math.ceil(pictures.length / GALLERY_PICTURES)) }, (_, page) =>
    pictures.slice(page * GALLERY_PICTURES, (page + 1) * GALLERY_PICTURES));
}

export function pages() {
  const [columns, rows, grids] = [columnsOf(), rowsOf(), gridsOf()];
  const across = Math.max(1, Math.min(columns.length, PAGE_COLUMNS));
  const down = Math.max(1, Math.floor(PAGE_PICTURES / across));
  const beside = Math.max(1, Math.floor(GRIDS_PICTURES / (across * Math.min(down, rows.length || 1))));
  const found = [];
  for (let grid = 0; grid < grids.length; grid += beside) {
    for (let row = 0; row < rows.length; row += down) {
      for (let column = 0; column < columns.length; column += across) {
        found.push({ grids: grids.slice(grid, grid + beside), columns: columns.slice(column, column + across), rows: rows.slice(row, row + down) });
      }
    }
  }
  return found.length ? found : [{ grids: [], columns: [], rows: [] }];
}

/** The number of the page that a picture is on; -1 if it is on none. */
export function pageOf(picture) {
  if (isGallery()) return galleryPages().findIndex((pictures) => pictures.includes(picture));
  return pages().findIndex((page) => picturesOf(page).includes(picture));
}

/** Two axes, with the picks that show most of what was made beside them, else of what was planned; and the share of the table that was planned. */
export function fullest(x, y) {
  const picked = pickedAxes(x, y);
  const tables = new Map();
  for (const picture of looked()) {
    const positions = picked.map((path) => picture.at[axes.get(path).index]);
    const [column, row] = [x, y].map((path) => (path ? picture.at[axes.get(path).index] : 0));
    const key = positions.join();
    if (!tables.has(key)) tables.set(key, { positions, columns: new Set(), rows: new Set(), planned: new Set(), made: new Set() });
    const found = tables.get(key);
    found.columns.add(column);
    found.rows.add(row);
    found.planned.add(`${column},${row}`);
    if (picture.state === "done") found.made.add(`${column},${row}`);
  }
  const more = (best, found) => (found.made.size - best.made.size || found.planned.size - best.planned.size) > 0;
  if (!tables.size) return { x, y, picks: [], made: 0, share: 0 };
  const best = [...tables.values()].reduce((soFar, found) => (more(soFar, found) ? found : soFar));
  const picks = new Map(picked.map((path, index) => [path, best.positions[index]]));
  return { x, y, picks, made: best.made.size, share: best.planned.size / (best.columns.size * best.rows.size) };
}

/** What is seen first: the axes that suit these runs, unless they leave the table mostly empty; then those that show most pictures. */
function firstView() {
  const suited = fullest(report.x, report.y);
  if (suited.share >= LEAST_SHARE) return suited;
  // Runs are columns rather than rows, and samples rows.
  const paths = [...axes.keys()].reverse();
  const pairs = paths.flatMap((x, index) => [null, ...paths.slice(index + 1).reverse()].map((y) => [x, y]));
  return pairs.map(([x, y]) => fullest(x, y)).reduce((best, view) => (view.made > best.made ? view : best));
}

/** What is opened: pictures of a session were made one after the other, and a table with one long line of pictures is wrapped. */
function firstLayout() {
  if (sessions.size) return "gallery";
  const [across, down] = [columnsOf().length, rowsOf().length];
  const isLine = Math.min(across, down) === 1 && Math.max(across, down) > LONG_LINE;
  return isLine && order().length === report.pictures.length ? "gallery" : "table";
}

export function look({ x, y, picks }) {
  Object.assign(chosen, { x, y, page: 0 });
  for (const [path, value] of picks) chosen.picks.set(path, value);
}

for (const axis of axes.values()) chosen.picks.set(axis.path, 0);
look(firstView());
chosen.layout = firstLayout();
