// What pages are made of. Texts of records reach a page as text alone, never as HTML.

/** A new element, with text and attributes, around others. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Fill a select with [value, text] pairs, keeping what was chosen where it is still offered. */
export function offer(select, options, chosen = select.value) {
  select.replaceChildren(...options.map(([value, text]) => element("option", { value }, shortened(text))));
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0]?.[0] ?? "";
}

/** A name that may be broken into lines after dots and underscores. */
export function breakable(name) {
  const pieces = document.createDocumentFragment();
  for (const [index, piece] of name.split(/(?<=[._])/).entries()) pieces.append(...(index ? [document.createElement("wbr")] : []), piece);
  return pieces;
}

/** Names, as texts or elements, and their values, as [name, value] pairs. */
export function listed(pairs) {
  return element("dl", {}, ...pairs.flatMap(([name, value]) => [element("dt", {}, typeof name === "string" ? breakable(name) : name), element("dd", {}, value)]));
}

/** A setting's value as text. */
export function written(value) {
  if (value === null || value === undefined) return "none";
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function shortened(text, most = 60) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

export function counted(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

export function numberText(number, digits) {
  if (Number.isInteger(number)) return String(number);
  return String(Math.abs(number) >= 10 ** digits ? Math.round(number) : Number(number.toPrecision(digits)));
}

/** Whether two maps of settings differ at a path. */
export function differs(path, ours, theirs) {
  return JSON.stringify(ours[path]) !== JSON.stringify(theirs[path]);
}

/** A metric's name with an arrow to where it is better; what it says stands in its title. */
export function metricName({ name, better, sentence }) {
  const arrow = { lower: "\u00a0↓", higher: "\u00a0↑" }[better] ?? "";
  const title = [sentence, better && `${better[0].toUpperCase()}${better.slice(1)} is better.`].filter(Boolean).join(" ");
  return element("span", { class: "metric", title: title || undefined }, breakable(name), arrow);
}

/** A metric's number with its unit, in one people read. */
export function metricText({ unit }, number, { sign = "", digits = 4 } = {}) {
  if (number === undefined || number === null) return "";
  const [value, shown] = unit === "bytes" ? [number / 2 ** 20, "MiB"] : [number, unit];
  return `${value > 0 ? sign : ""}${numberText(value, digits)}${shown ? `\u00a0${shown}` : ""}`;
}

/** The numbers of a picture, by name, beside those of the one it is compared with, if that has some; of metrics as `{name, unit, better, sentence}`. */
export function metricsTable(metrics, numbers, before) {
  const head = before ? [element("thead", {}, element("tr", {}, ...["", "before", "after", "difference"].map((text) => element("th", { scope: "col" }, text))))] : [];
  const rows = metrics.filter(({ name }) => name in numbers).map((metric) => {
    const [number, was] = [numbers[metric.name], before?.[metric.name]];
    const now = metricText(metric, number);
    const texts = before ? [metricText(metric, was), now, was === undefined ? "" : metricText(metric, number - was, { sign: "+" })] : [now];
    return element("tr", {}, element("th", { scope: "row" }, metricName(metric)), ...texts.map((text) => element("td", {}, text)));
  });
  return element("table", { class: "numbers" }, ...head, element("tbody", {}, ...rows));
}
