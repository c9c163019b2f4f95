// What a knob is turned by, one function a kind. Each takes the knob, ids for its elements and `turn(value, how, fields)`, which without a value
// only sends what waits, and gives
// { node, show({ value, effective }) }: `value` is what is asked or the default, `effective` what the gate makes of it where it said so.

import { element } from "./elements.js";
import { isSameValue, openKnobText, readNumber, readValue, steppedValue, knobText } from "./typed.js";

const CONTROLS = {
  integer: numberControl,
  number: numberControl,
  choice: choiceControl,
  flag: flagControl,
  pair: pairControl,
  seed: seedControl,
  text: (knob, ids, turn) => (knob.choices ? suggestedControl : knob.section ? lineControl : wordsControl)(knob, ids, turn),
};

/** The control of a knob, by its kind. */
export function controlOf(knob, ids, turn) {
  return (CONTROLS[knob.kind] ?? otherControl)(knob, ids, turn);
}

const isTypedIn = (field) => field.getRootNode().activeElement === field;

/** Put a text into a field, unless somebody is typing there; whether it is another than before. */
function fill(field, text) {
  const isOther = !isTypedIn(field) && field.value !== text;
  if (isOther) field.value = text;
  return isOther;
}

/** A field for a line of text, which `typed(text)` gets while it is written; it is sent when the hand rests, or at once when it leaves. */
function lineField(attributes, turn, typed) {
  const field = element("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes });
  field.addEventListener("input", () => typed(field.value));
  field.addEventListener("change", () => turn());
  return field;
}

/** A slider, a field that takes what the gate takes, and a button for each word that may stand there instead. */
function numberControl(knob, ids, turn) {
  const attributes = { id: ids.field, inputmode: knob.kind === "integer" ? "numeric" : "decimal", class: "knob-number" };
  const field = lineField(attributes, turn, (text) => turn(readNumber(text), "typed"));
  const slider = knob.soft && sliderOf(knob, ids);
  const instead = [...(knob.choices ?? []), ...(knob.optional ? [null] : [])];
  const buttons = instead.map((word) => element("button", { type: "button", class: "knob-word", "aria-pressed": "false" }, knobText(knob, word)));
  let [position, isDragged] = [knob.soft?.[0] ?? knob.minimum ?? 0, false];

  field.addEventListener("keydown", (event) => {
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const typed = readNumber(field.value);
    position = steppedValue(knob, typeof typed === "number" ? typed : position, way * (event.shiftKey ? 10 : 1));
    field.value = String(position);
    turn(position, "dragged");
  });
  slider?.addEventListener("input", () => {
    isDragged = true;
    field.value = slider.value;
    turn(Number(slider.value), "dragged");
  });
  slider?.addEventListener("change", () => {
    isDragged = false;
    turn(Number(slider.value));
  });
  buttons.forEach((button, index) => button.addEventListener("click", () => turn(instead[index])));

  function show({ value, effective }) {
    const isNumber = typeof value === "number";
    position = isNumber ? value : typeof effective === "number" ? effective : position;
    fill(field, value === null || instead.includes(value) ? "" : String(value));
    field.placeholder = isNumber ? "" : String(effective ?? knobText(knob, value));
    field.title = openKnobText(knob, value, effective);
    if (slider && !isDragged) slider.value = isNumber || typeof effective === "number" ? position : knob.soft[0];
    slider?.classList.toggle("is-open", !isNumber);
    slider?.setAttribute("aria-valuetext", openKnobText(knob, value, effective));
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", isSameValue(value, instead[index])));
  }
  return { node: element("div", { class: "knob-row" }, ...[slider, field, ...buttons].filter(Boolean)), show };
}

function sliderOf({ soft: [min, max], step }, ids) {
  return element("input", { type: "range", min, max, step: step ?? "any", "aria-labelledby": ids.label });
}

/** All that may be chosen, with None first where that is a value. */
const choicesOf = (knob) => [...(knob.optional ? [null] : []), ...(knob.choices ?? [])];

/** Few short choices stand side by side; others in a list. */
function choiceControl(knob, ids, turn) {
  const choices = choicesOf(knob);
  const letters = choices.reduce((sum, choice) => sum + knobText(knob, choice).length + 3, 0);
  return (choices.length <= 4 && letters <= 36 ? segmentsControl : listControl)(knob, ids, turn, choices);
}

function segmentsControl(knob, ids, turn, choices) {
  const radios = choices.map(() => element("input", { type: "radio", name: ids.field }));
  radios.forEach((radio, index) => radio.addEventListener("change", () => turn(choices[index])));
  const labels = radios.map((radio, index) => element("label", {}, radio, element("span", {}, knobText(knob, choices[index]))));
  const node = element("div", { class: "knob-segments", role: "radiogroup", id: ids.field, "aria-labelledby": ids.label }, ...labels);
  return { node, show: ({ value }) => radios.forEach((radio, index) => { radio.checked = isSameValue(value, choices[index]); }) };
}

function listControl(knob, ids, turn, choices) {
  const options = choices.map((choice, index) => element("option", { value: index }, knobText(knob, choice)));
  const node = element("select", { id: ids.field }, ...options);
  node.addEventListener("change", () => turn(choices[Number(node.value)]));

  function show({ value, effective }) {
    node.selectedIndex = choices.findIndex((choice) => isSameValue(value, choice));
    options.forEach((option, index) => { option.textContent = openKnobText(knob, choices[index], node.selectedIndex === index ? effective : null); });
  }
  return { node, show };
}

function flagControl(knob, ids, turn) {
  if (knob.optional) return segmentsControl(knob, ids, turn, [null, true, false]);
  const node = element("input", { type: "checkbox", id: ids.field });
  node.addEventListener("change", () => turn(node.checked));
  return { node, show: ({ value }) => { node.checked = value === true; } };
}

/** Two numbers; asked for when both are there, or when the hand leaves them. */
function pairControl(knob, ids, turn) {
  const fields = knob.parts.map((part, index) => {
    const attributes = { id: index ? undefined : ids.field, inputmode: "decimal", class: "knob-text", "aria-label": `${knob.label}, ${part}` };
    return lineField(attributes, turn, () => ask());
  });
  const node = element("div", { class: "knob-row" }, fields[0], element("span", { class: "knob-unit" }, "×"), fields[1]);
  let isHalf = false;

  function ask() {
    const numbers = fields.map((field) => readNumber(field.value));
    const given = numbers.filter((number) => number !== null).length;
    isHalf = given === 1;
    if (!isHalf) turn(given ? numbers : null, "typed");
  }
  node.addEventListener("focusout", (event) => {
    if (isHalf && !node.contains(event.relatedTarget)) turn(fields.map((field) => readNumber(field.value)));
    isHalf = isHalf && node.contains(event.relatedTarget);
  });
  function show({ value, effective }) {
    if (isHalf) return;
    fields.forEach((field, index) => {
      fill(field, value?.[index] === undefined || value[index] === null ? "" : String(value[index]));
      field.placeholder = Array.isArray(effective) ? String(effective[index]) : knob.parts[index];
    });
  }
  return { node, show };
}

/** Texts to choose from, and a field for any other. */
function suggestedControl(knob, ids, turn) {
  const choices = choicesOf(knob);
  const list = element("select", { id: ids.field });
  const field = lineField({ "aria-labelledby": ids.label, class: "knob-text" }, turn, (text) => turn(text.trim() || null, "typed"));
  let isOther = false;
  list.append(...choices.map((choice, index) => element("option", { value: index }, knobText(knob, choice))));
  list.append(element("option", { value: "other" }, "other…"));
  list.addEventListener("change", () => {
    isOther = list.value === "other";
    field.hidden = !isOther;
    if (isOther) field.focus();
    else turn(choices[Number(list.value)]);
  });
  field.addEventListener("blur", () => { isOther = false; });

  function show({ value }) {
    const place = choices.findIndex((choice) => isSameValue(value, choice));
    if (isOther || isTypedIn(field)) return;
    list.value = place < 0 ? "other" : String(place);
    field.hidden = place >= 0;
    fill(field, place < 0 ? String(value ?? "") : "");
  }
  return { node: element("div", { class: "knob-row" }, list, field), show };
}

function lineControl(knob, ids, turn) {
  const node = lineField({ id: ids.field, class: "knob-text" }, turn, (text) => turn(text || null, "typed"));
  return { node, show: ({ value }) => fill(node, String(value ?? "")) };
}

/** Words in as many lines as they need. What is emptied is asked for as empty where something would else stand there by itself. */
function wordsControl(knob, ids, turn) {
  const node = element("textarea", { id: ids.field, rows: 1, class: "knob-words" });
  let own = "";
  const grow = () => {
    node.style.height = "auto";
    if (node.scrollHeight) node.style.height = `${node.scrollHeight + node.offsetHeight - node.clientHeight}px`;
  };
  node.addEventListener("input", () => {
    grow();
    turn(node.value || (own ? "" : null), "typed");
  });
  node.addEventListener("change", () => turn());
  let width = 0;
  new ResizeObserver(() => {
    if (node.clientWidth !== width) requestAnimationFrame(grow);
    width = node.clientWidth;
  }).observe(node);

  function show({ value, effective, isAsked }) {
    if (!isAsked) own = effective ?? "";
    if (fill(node, String((isAsked ? value : effective ?? value) ?? ""))) grow();
  }
  return { node, show };
}

const DIE = "M3 1h10a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H3a2 2 0 0 1-2-2V3a2 2 0 0 1 2-2ZM5 4.9h.1M11 4.9h.1M8 8h.1M5 11.1h.1M11 11.1h.1";
const LOCK = "M3 7h10v8H3ZM5 7V4.5a3 3 0 0 1 6 0V7M8 10.5v1.5";

/** A small drawing of one line. */
function icon(line) {
  const [drawing, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  for (const [name, value] of [["viewBox", "0 0 16 16"], ["aria-hidden", "true"]]) drawing.setAttribute(name, value);
  path.setAttribute("d", line);
  drawing.append(path);
  return drawing;
}

/** A seed, a die that draws one, and a lock that keeps it from picture to picture; one that is drawn or typed is kept. */
function seedControl(knob, ids, turn) {
  const field = lineField({ id: ids.field, inputmode: "numeric", class: "knob-text" }, turn, (text) => {
    const seed = readNumber(text);
    turn(seed, "typed", seed === null ? {} : { keepSeed: true });
  });
  const die = element("button", { type: "button", class: "knob-icon", title: "Draw another seed", "aria-label": "Draw another seed" }, icon(DIE));
  const lock = element("button", { type: "button", class: "knob-icon", "aria-label": "Keep the seed" }, icon(LOCK));
  let isKept = false;
  lock.addEventListener("click", () => turn(undefined, "now", { keepSeed: !isKept }));
  die.addEventListener("click", () => {
    const [seed] = crypto.getRandomValues(new Uint32Array(1));
    turn(seed, "now", { keepSeed: true });
  });
  function show({ value, effective, isAsked, keepSeed }) {
    fill(field, String((isAsked ? value : effective ?? value) ?? ""));
    isKept = Boolean(keepSeed);
    lock.setAttribute("aria-pressed", isKept);
    lock.title = isKept ? "The seed is kept: press to draw one for each picture" : "Each picture draws a seed: press to keep this one";
  }
  return { node: element("div", { class: "knob-row" }, field, die, lock), show };
}

/** Anything else, as JSON or a line of YAML. */
function otherControl(knob, ids, turn) {
  const node = lineField({ id: ids.field, class: "knob-text" }, turn, (text) => turn(readValue(text), "typed"));
  return { node, show: ({ value }) => fill(node, value === null ? "" : typeof value === "string" ? value : JSON.stringify(value)) };
}
