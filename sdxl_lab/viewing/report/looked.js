// Which pictures are looked at, and in which order. A filter is `{ path, sign, value }`: a setting or a metric that is "=", ">=" or "<=" a value, or
// words that the prompt has, "~". Of several with "=" for one setting one is enough; all else has to hold.

import { metricText, written } from "./elements.js";
import { axes, chosen, report, settingsOf } from "./data.js";
import { isMarked } from "./marks.js";

export const metrics = new Map(report.metrics.map((metric) => [metric.name, metric]));
const SAID = { ">=": "at least", "<=": "at most" };
const byPaths = new Map();
let looksAt = null;

/** Forget what was found with other filters. */
export function lookAgain() {
  byPaths.clear();
  looksAt = null;
}

/** A picture's value on an axis, or its metric; undefined where it has none. */
export function valueOf(picture, path) {
  const axis = axes.get(path);
  return axis ? axis.values[picture.at[axis.index]] : picture.metrics?.[path];
}

const same = (ours, theirs) => JSON.stringify(ours) === JSON.stringify(theirs);
const kindOf = ({ path, sign }) => (sign === "=" ? path : "");

function holds({ path, sign, value }, picture) {
  if (sign === "~") return settingsOf(picture).prompt.toLowerCase().includes(value.toLowerCase());
  const found = valueOf(picture, path);
  if (sign === "=") return same(found ?? null, value);
  return typeof found === "number" && (sign === ">=" ? found >= value : found <= value);
}

function passes(picture) {
  if ((chosen.starred && !picture.starred) || (chosen.marked && !isMarked(picture))) return false;
  return chosen.filters.every((filter) => chosen.filters.some((other) => (other === filter || (kindOf(filter) && kindOf(other) === kindOf(filter))) && holds(other, picture)));
}

function compared(ours, theirs) {
  if (typeof ours === "number" && typeof theirs === "number") return ours - theirs;
  return written(ours).localeCompare(written(theirs), undefined, { numeric: true });
}

/** The pictures that are looked at: all, unless filters leave some out, in the order of making, unless they are sorted; without a value they come last. */
export function looked() {
  if (looksAt) return looksAt;
  looksAt = report.pictures.filter(passes);
  if (chosen.sort) {
    const has = (picture) => valueOf(picture, chosen.sort) != null;
    const ordered = (one, other) => compared(valueOf(one, chosen.sort), valueOf(other, chosen.sort)) * (chosen.down ? -1 : 1);
    looksAt = [...looksAt.filter(has).sort(ordered), ...looksAt.filter((picture) => !has(picture))];
  }
  return looksAt;
}

/** Whether any picture of the report passes these filters. */
export const hasAny = (filters) => report.pictures.some((picture) => filters.every((filter) => holds(filter, picture)));

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

/** What a filter says, for people. */
export function filterText({ path, sign, value }) {
  if (sign === "~") return `prompt has “${value}”`;
  const name = axes.get(path)?.name ?? path;
  const text = metrics.has(path) && !axes.has(path) ? metricText(metrics.get(path), value) : written(value);
  return [name, SAID[sign], text].filter(Boolean).join(" ");
}

/** A filter as a text, for a link. */
export const filterCode = ({ path, sign, value }) => (sign === "~" ? `~${value}` : `${path}${sign}${JSON.stringify(value)}`);

/** The filter that a text means; null if it means none of this report. */
export function filterOf(code) {
  if (code.startsWith("~")) return code.length > 1 ? { path: "", sign: "~", value: code.slice(1) } : null;
  const [, path, sign, text] = /^([^<>=]+)(>=|<=|=)(.+)$/s.exec(code) ?? [];
  if (!axes.has(path) && !metrics.has(path)) return null;
  try {
    const value = JSON.parse(text);
    return sign === "=" || typeof value === "number" ? { path, sign, value } : null;
  } catch {
    return null;
  }
}
