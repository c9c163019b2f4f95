// What settings and their values are called wherever the page speaks of them: as their knobs are, also of tasks that the bench asked for before.

import { element, written } from "./elements.js";
import { knobText } from "./typed.js";

const GIVEN = { image: "Picture", mask: "Mask" };  // what pictures are made from, which no knob turns

/** Of each hub, the knobs that it told so far. */
const toldKnobs = new WeakMap();

function knobsKnown(hub) {
  if (!toldKnobs.has(hub)) {
    toldKnobs.set(hub, { latest: null, byPath: new Map() });
    hub.on("knobs", () => knobsKnown(hub));
  }
  const known = toldKnobs.get(hub);
  if (hub.state.knobs && hub.state.knobs !== known.latest) {
    known.latest = hub.state.knobs;
    for (const knob of known.latest.knobs) known.byPath.set(knob.path, knob);
  }
  return known.byPath;
}

const inWords = (name) => `${name[0].toUpperCase()}${name.slice(1).replaceAll("_", " ")}`;

const isShared = (knobs, { path, label }) => [...knobs].some((other) => other.label === label && other.path !== path);

/** A knob's label; with its section where another one of these is called the same. */
export function nameAmong(knobs, knob) {
  return isShared(knobs, knob) && knob.section ? `${knob.label} (${knob.section.replace(/[._]/g, " ")})` : knob.label;
}

/** What people call a setting, its own name in words if no knob told it; of two with one label, the one that is always in view needs no more. */
export function settingName(hub, path) {
  const knobs = knobsKnown(hub);
  const knob = knobs.get(path);
  if (!knob) return GIVEN[path] ?? inWords(path.split(".").at(-1));
  return knob.shown ? knob.label : nameAmong(knobs.values(), knob);
}

/** The same as an element, which says the setting's path to a pointer. */
export const settingTerm = (hub, path) => element("span", { title: path }, settingName(hub, path));

/** A setting's value; what was not asked for is the library's default, where its knob tells it. */
export function settingValue(hub, path, value) {
  const knob = knobsKnown(hub).get(path);
  if (knob) return knobValue(knob, value);
  return value === null || value === undefined ? "default" : written(value);
}

export const knobValue = (knob, value) => knobText(knob, value ?? knob.usual);
