// What people type into knobs, read as values of JSON, and values written for them.

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A number as it is typed; null for nothing, and the text itself for anything else, whole numbers that would lose digits among it. */
export function readNumber(text) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  const number = Number(trimmed);
  const isExact = Number.isFinite(number) && (!Number.isInteger(number) || Number.isSafeInteger(number));
  return NUMBER.test(trimmed) && isExact ? number : trimmed;
}

/** A value as JSON or as YAML has it in one line: `[a, 2]`, `{left: 3}`, `yes, as a text`. */
export function readValue(text) {
  const trimmed = text.trim();
  if (["", "~", "null", "none", "None"].includes(trimmed)) return null;
  try {
    return JSON.parse(trimmed);
  } catch {
    const inner = trimmed.slice(1, -1);
    if (/^\[.*\]$/s.test(trimmed)) return partsOf(inner).map(readValue);
    if (/^\{.*\}$/s.test(trimmed)) return Object.fromEntries(partsOf(inner).map(pairOf));
    return /^'.*'$/s.test(trimmed) ? inner : trimmed;
  }
}

function pairOf(text) {
  const colon = text.indexOf(":");
  const [key, value] = colon < 0 ? [text, ""] : [text.slice(0, colon), text.slice(colon + 1)];
  return [String(readValue(key)), readValue(value)];
}

/** What commas part, but for those within brackets or quotes. */
function partsOf(text) {
  const parts = [""];
  let [depth, quote] = [0, ""];
  for (const letter of text) {
    if (quote) quote = letter === quote ? "" : quote;
    else if (letter === '"' || letter === "'") quote = letter;
    else if ("[{".includes(letter)) depth += 1;
    else if ("]}".includes(letter)) depth -= 1;
    if (letter === "," && !depth && !quote) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return parts.at(-1).trim() === "" ? parts.slice(0, -1) : parts;
}

/** A knob's value for people: with its unit, and None by its name. */
export function knobText(knob, value) {
  if (value === null || value === undefined) return knob.none;
  if (value === "") return "empty";
  if (knob.kind === "flag") return value === true ? "yes" : value === false ? "no" : String(value);
  const text = knob.kind === "pair" && Array.isArray(value) ? value.join(" × ") : typeof value === "string" ? value : JSON.stringify(value);
  return typeof value === "string" || !knob.unit ? text : `${text}\u00a0${knob.unit}`;
}

/** The same of a word that leaves a value open, with what it comes to: `auto: 15 px`. */
export function openKnobText(knob, value, effective) {
  const isOpen = (value === null || typeof value === "string") && effective !== null && effective !== undefined && !isSameValue(value, effective);
  return isOpen ? `${knobText(knob, value)}: ${knobText(knob, effective)}` : knobText(knob, value);
}

/** So many steps from a value, within what is allowed, written without the noise of binary fractions. */
export function steppedValue(knob, value, steps) {
  const step = knob.step ?? 1;
  const digits = String(step).split(".")[1]?.length ?? 0;
  const moved = Number((value + steps * step).toFixed(Math.max(digits, String(value).split(".")[1]?.length ?? 0)));
  return Math.min(Math.max(moved, knob.minimum ?? -Infinity), knob.maximum ?? Infinity);
}

export const isSameValue = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);
