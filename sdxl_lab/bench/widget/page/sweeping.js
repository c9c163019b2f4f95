// The form of a sweep around a picture: settings with their values, of which each combination is a run.

import { counted, element, offer } from "./elements.js";
import { readNumber, steppedValue } from "./typed.js";
import { knobValue, nameAmong } from "./naming.js";
import { windowOver } from "./windows.js";

const SWEPT = ["integer", "number", "choice", "flag", "seed", "text"];
const FIRST_SWEPT = "denoising.guidance_scale";
const MOST_SHOWN = 4;
const RANGE = /^([+-]?[\d.]+)\s*-\s*([+-]?[\d.]+)\s*(?:\(\s*([+-]?[\d.]+)\s*\)|\[\s*(\d+)\s*\])?$/;
const CONSTANTS = new Map([["true", true], ["false", false], ["null", null], ["None", null]]);

const isWords = ({ kind, choices }) => kind === "text" && !choices?.length;

/** Ask for settings and their values, and write the file; its path, or null if nobody wanted it. What is wrong is said in the form. */
export async function askForSweep(hub, number) {
  const entry = hub.state.pictures.get(number);
  const told = await hub.do("knobs_of", { number });
  const all = told.knobs.filter(({ kind, path }) => SWEPT.includes(kind) && path !== "task");
  const knobs = [...all.filter((knob) => !isWords(knob)), ...all.filter(isWords)];
  const axes = element("div", { class: "axes" });
  const runs = element("output", { class: "runs" });
  const rows = [];
  let path = null;

  function add(chosen) {
    const row = axisRow(entry, knobs, chosen);
    row.remove.addEventListener("click", () => {
      rows.splice(rows.indexOf(row), 1);
      row.node.remove();
      refresh();
      rows.at(-1).setting.focus();
    });
    rows.push(row);
    axes.append(row.node);
    refresh();
    return row;
  }

  function refresh() {
    rows[0].remove.hidden = rows.length === 1;
    const counts = rows.map((row) => row.count()).filter(Boolean);
    const product = counts.reduce((all, count) => all * count, 1);
    runs.textContent = counts.length ? `${counts.length > 1 ? `${counts.join(" × ")} = ` : ""}${counted(product, "run")}` : "No values yet.";
  }

  async function write() {
    const given = rows.filter((row) => row.count());
    const twice = given.find((row, index) => given.findIndex((other) => other.setting.value === row.setting.value) < index);
    if (twice) throw new Error(`${twice.setting.selectedOptions[0].text} stands in two rows; write all its values into one.`);
    if (!given.length) throw new Error(`Write the values of a setting, such as ${rows[0].example()}.`);
    ({ path } = await hub.do("sweep", { number, axes: Object.fromEntries(given.map((row) => [row.setting.value, row.values()])) }, [], { says: false }));
  }

  const more = element("button", { type: "button" }, "Another setting");
  more.addEventListener("click", () => add(knobs.find((knob) => rows.every(({ setting }) => setting.value !== knob.path))?.path).setting.focus());
  axes.addEventListener("input", refresh);
  add(turnedLast(hub, number, knobs));
  const words = element("p", {}, "One run for each combination of these values; all else as for this picture.");
  await windowOver(hub, `Sweep around picture ${number}`, [words, axes, more, runs], [["", "Close"], ["write", "Write the file", write]]);
  return path;
}

/** The setting that was turned last, up to a picture; seeds and words, which always change, do not count. */
function turnedLast(hub, number, knobs) {
  const counts = new Set(knobs.filter((knob) => knob.kind !== "seed" && !isWords(knob)).map(({ path }) => path));
  const before = [...hub.state.pictures.values()].filter((entry) => entry.number <= number).sort((one, other) => other.number - one.number);
  const turned = before.flatMap(({ changed }) => changed.map(({ path }) => path)).find((path) => counts.has(path));
  return turned ?? (counts.has(FIRST_SWEPT) ? FIRST_SWEPT : [...counts][0]);
}

/** A setting and its values, as a row of the form. */
function axisRow(entry, knobs, chosen) {
  const setting = element("select", { "aria-label": "Setting" });
  const line = element("input", { type: "text", "aria-label": "Values", autocomplete: "off", spellcheck: "false", autofocus: true });
  const lines = element("textarea", { "aria-label": "Values, one a line", rows: "3", placeholder: "one a line" });
  const remove = element("button", { type: "button", class: "remove", "aria-label": "Without this setting", title: "Without this setting" }, "×");
  const hint = element("small");
  const knob = () => knobs.find(({ path }) => path === setting.value);
  const example = () => exampleOf(knob());
  const texts = () => (isWords(knob()) ? lines.value.split("\n").map((text) => text.trim()).filter(Boolean) : axisValues(line.value));

  function describe() {
    const { path, allowed, choices } = knob();
    const now = knobValue(knob(), entry.settings[path] ?? entry[path]);
    const words = choices?.length ? choices.join(", ") : allowed;
    line.hidden = isWords(knob());
    lines.hidden = !line.hidden;
    line.placeholder = example();
    setting.title = path;
    hint.textContent = [`Now ${now}.`, words && `Allowed: ${words}.`].filter(Boolean).join(" ");
  }

  offer(setting, knobs.map((each) => [each.path, nameAmong(knobs, each)]), chosen);
  setting.addEventListener("change", describe);
  describe();
  return { node: element("div", { class: "axis" }, setting, line, lines, remove, hint), setting, remove, example, values: texts, count: () => countOf(texts()) };
}

/** Values that a setting may have, as people write them. */
function exampleOf(knob) {
  if (isWords(knob)) return "one a line";
  if (knob.kind === "seed") return "1, 2, 3 or random(4)";
  if (knob.kind === "flag") return "true, false";
  const [least, most] = knob.soft ?? [];
  if (least === undefined) return (knob.choices ?? []).slice(0, MOST_SHOWN).join(", ");
  const middle = steppedValue(knob, least, Math.round((most - least) / 2 / (knob.step ?? 1)));
  return [...new Set([least, middle, most])].join(", ");
}

/** Values as people write them, with commas between; `random(4)` and its like are left to the sweep. */
export function axisValues(text) {
  if (/^\s*\w+\(.*\)\s*$/.test(text)) return text.trim();
  return text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => (CONSTANTS.has(part) ? CONSTANTS.get(part) : readNumber(part)));
}

/** How many values there are, with those that ranges such as `1-10 [4]` and `random(4)` stand for. */
function countOf(values) {
  if (typeof values === "string") return Number(/\(\s*(\d+)/.exec(values)?.[1] ?? 1);
  const counts = [...new Set(values)].map((value) => {
    const [, first, last, distance, count] = RANGE.exec(value) ?? [];
    if (first === undefined) return 1;
    return count ? Number(count) : Math.floor(Math.abs((last - first) / (distance ?? 1)) + 1e-9) + 1;
  });
  return counts.reduce((all, count) => all + count, 0);
}
