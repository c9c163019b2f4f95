// The state of the page as a link: what is chosen stands behind the # of its address, as far as it differs from what opens by itself.

import { COMPARED_BY } from "./looking.js";
import { axes, chosen, report } from "./data.js";
import { filterCode, filterOf, lookAgain, metrics } from "./looked.js";
import { keyOf } from "./marks.js";
import { pickedAxes } from "./axes.js";
import { looking } from "./grid.js";
import { begin, draw } from "./controls.js";
import { closeViewer, hasGoneBack, shownBefore, showInViewer, viewedPicture } from "./viewer.js";

const first = { ...chosen, picks: new Map(chosen.picks) };
let restores = false;
let stepped = null;  // the select that made the latest step: going through its options is one

const valueAt = (path, index) => JSON.stringify(axes.get(path).values[index]);
const indexOf = (path, text) => axes.get(path)?.values.findIndex((value) => JSON.stringify(value) === text) ?? -1;

/** What is chosen, as pairs; without the open picture what lies behind it. */
function said({ withPicture = true } = {}) {
  const pairs = new URLSearchParams();
  if (chosen.layout !== first.layout) pairs.set("layout", chosen.layout);
  for (const letter of ["x", "y", "z"]) if (chosen[letter] !== first[letter]) pairs.set(letter, chosen[letter] ?? "");
  for (const path of pickedAxes()) {
    const index = chosen.picks.get(path);
    if (index !== first.picks.get(path)) pairs.append("at", `${path}=${valueAt(path, index)}`);
  }
  for (const filter of chosen.filters) pairs.append("only", filterCode(filter));
  for (const name of ["starred", "marked"]) if (chosen[name]) pairs.set(name, "1");
  if (chosen.sort) pairs.set("sort", `${chosen.down ? "-" : ""}${chosen.sort}`);
  if (chosen.page) pairs.set("page", String(chosen.page + 1));
  const [letter, index] = chosen.compare.split(":");
  if (chosen.compare) pairs.set("compare", index ? `${letter}:${valueAt(chosen[letter], Number(index))}` : letter);
  if (looking.comparedBy !== COMPARED_BY[0][0]) pairs.set("by", looking.comparedBy);
  const picture = viewedPicture();
  if (picture && withPicture) {
    pairs.set("picture", keyOf(picture));
    const before = shownBefore();
    if (before) pairs.set("before", report.pictures[before] ? keyOf(report.pictures[before]) : before);
  }
  return pairs.toString();
}

/** The page's address with what is chosen. */
function address() {
  const hash = said();
  return location.href.split("#")[0] + (hash ? `#${hash}` : "");
}

/** Write what is chosen into the address: a step to go back over, or in place of the one before. A frame without an address has no links. */
export function remember({ isStep = true, state = history.state } = {}) {
  if (restores || address() === location.href) return;
  const select = document.activeElement?.closest("select") ?? null;
  const isNew = isStep && !(select && select === stepped);
  if (isStep) stepped = select;
  try {
    if (isNew) history.pushState(state, "", address());
    else history.replaceState(state, "", address());
  } catch {
    if (isNew && state) history.pushState(state, "");
  }
}

/** Choose what the pairs of an address say, and all else as it opens. */
function choose(pairs) {
  const sort = pairs.get("sort") ?? "";
  const path = sort.replace(/^-/, "");
  const isKnown = axes.has(path) || metrics.has(path);
  const layout = pairs.get("layout");
  Object.assign(chosen, first, {
    layout: ["gallery", "table"].includes(layout) ? layout : first.layout,
    filters: pairs.getAll("only").map(filterOf).filter(Boolean),
    starred: pairs.has("starred"),
    marked: pairs.has("marked"),
    sort: isKnown ? path : "",
    down: isKnown && sort.startsWith("-"),
    page: Math.max(0, (parseInt(pairs.get("page"), 10) || 1) - 1),
    picks: new Map(first.picks),
  });
  for (const letter of ["x", "y", "z"]) {
    const path = pairs.get(letter);
    if (axes.has(path) || (path === "" && letter !== "x")) chosen[letter] = path || null;
  }
  if (chosen.y === chosen.x) chosen.y = null;
  if ([chosen.x, chosen.y].includes(chosen.z)) chosen.z = null;
  lookAgain();
  for (const at of pairs.getAll("at")) {
    const [, path, text] = /^([^=]+)=(.*)$/s.exec(at) ?? [];
    const index = indexOf(path, text);
    if (index >= 0) chosen.picks.set(path, index);
  }
  const compare = pairs.get("compare") ?? "";
  const [, letter, text] = /^([xyz]):(.*)$/s.exec(compare) ?? [];
  const index = letter ? indexOf(chosen[letter], text) : -1;
  chosen.compare = letter ? (index >= 0 ? `${letter}:${index}` : "") : compare;
}

function compareAgain(pairs) {
  const by = pairs.get("by") ?? COMPARED_BY[0][0];
  if (by !== looking.comparedBy && COMPARED_BY.some(([choice]) => choice === by)) looking.compareBy(by);
}

const pictureOf = (key) => report.pictures.find((picture) => keyOf(picture) === key);

/** Show what the address says, and only redraw what it says differently. */
function restore(isFirst = false) {
  if (hasGoneBack()) {
    remember({ isStep: false });
    return;
  }
  stepped = null;
  const pairs = new URLSearchParams(location.hash.slice(1));
  const [picture, before] = ["picture", "before"].map((name) => pairs.get(name));
  for (const name of ["picture", "before"]) pairs.delete(name);
  restores = true;
  const isOther = pairs.toString() !== said({ withPicture: false });
  if (isOther) {
    choose(pairs);
    compareAgain(pairs);
  }
  if (isFirst) begin();
  else if (isOther) draw();
  const found = picture && pictureOf(picture);
  if (found) showInViewer(found, pictureOf(before)?.index ?? before ?? undefined);
  else closeViewer();
  restores = false;
}

window.addEventListener("popstate", () => restore());
restore(true);
