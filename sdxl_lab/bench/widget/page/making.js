// Making: the button, how far it is, a preview of what comes, several seeds beside each other, and cancel.

import { counted, element, offer } from "./elements.js";

const COUNTS = [1, 2, 4, 6, 8];
const OVER = ["done", "failed", "cancelled"];

/** The bar below the stage, and the pane that shows what is being made. */
export function makingPart(hub) {
  const make = element("button", { type: "button", class: "make", title: "Make (Ctrl+Enter)" }, "Make");
  const cancel = element("button", { type: "button", class: "cancel", title: "Cancel (Esc)", disabled: true }, "Cancel");
  const count = element("select", { "aria-label": "How many seeds, one after the other" });
  offer(count, COUNTS.map((number) => [String(number), counted(number, "picture")]));
  const live = element("input", { type: "checkbox" });
  const meter = element("progress", { max: "1", value: "0", "aria-label": "How far it is" });
  const text = element("span", { class: "doing", role: "status" });
  const bar = element("div", { class: "making-bar", role: "group", "aria-label": "Making" },
    make, count, cancel, element("label", { title: "Make again whenever a knob is turned; what is on its way gives place" }, live, " while turning"), meter, text);
  const pane = element("div", { class: "making-pane" });
  const cells = [];

  hub.make = ({ latest = false } = {}) => {
    hub.local.count = Number(count.value);
    if (!latest || hub.local.pane !== "look") hub.show("making");
    return hub.do("make", { count: latest ? 1 : hub.local.count, latest }).catch(() => {});
  };
  make.addEventListener("click", () => hub.make());
  cancel.addEventListener("click", () => hub.do("cancel"));
  live.addEventListener("change", () => { hub.local.live = live.checked; });

  let busy = false;
  hub.on("jobs", (jobs) => {
    while (cells.length > jobs.length) cells.pop().node.remove();
    while (cells.length < jobs.length) {
      const cell = jobCell(hub, cells.length);
      cells.push(cell);
      pane.append(cell.node);
    }
    pane.classList.toggle("several", jobs.length > 1);
    jobs.forEach((job, index) => cells[index].draw(job));
    drawBar(jobs);
    const wasBusy = busy;
    busy = jobs.some(({ state }) => !OVER.includes(state));
    const made = jobs.filter(({ number }) => number);
    if (made.length && !busy && (wasBusy || made.some((job) => job.made_before))) chooseWhenThere(hub, made.at(-1).number, jobs.length === 1);
  });
  hub.on("preview", (job, [image]) => {
    cells[job.job]?.draw(job);
    if (image) cells[job.job]?.preview(image);
    drawBar(hub.state.jobs.map((other) => (other.job === job.job ? job : other)));
  });
  hub.on("gone", () => { make.disabled = cancel.disabled = true; });
  hub.on("back", () => { make.disabled = false; });

  function drawBar(jobs) {
    const going = jobs.filter(({ state }) => !OVER.includes(state));
    cancel.disabled = !going.length;
    bar.classList.toggle("busy", going.length > 0);
    const shares = jobs.map(({ state, done, total }) => (OVER.includes(state) ? 1 : total ? done / total : 0));
    meter.value = going.length ? shares.reduce((sum, share) => sum + share, 0) / jobs.length : 0;
    text.textContent = jobs.length ? toldOf(going[0] ?? jobs.at(-1), jobs.length - going.length, jobs.length) : "";
  }
  return { node: bar, pane };
}

/** What is said of a picture on its way, or of one that has ended. */
function toldOf(job, over, all) {
  const parts = all > 1 ? [`${Math.min(over + 1, all)} of ${all}`] : [];
  if (job.state === "done") parts.push(job.made_before ? `picture ${job.number} was made before` : `picture ${job.number}`);
  else if (job.state !== "making") parts.push(job.state);
  else if (job.total && job.done) parts.push(`step ${job.done} of ${job.total}`);
  else parts.push(job.doing || "making");
  if (job.remembered) parts.push(`${counted(job.remembered, "step")} from memory`);
  if (job.left_s !== null && job.left_s !== undefined) parts.push(`${job.left_s < 10 ? job.left_s.toFixed(1) : Math.round(job.left_s)} s left`);
  return parts.join(" · ");
}

/** One picture of a Make: its preview as it grows, then itself. */
function jobCell(hub, index) {
  const image = element("img", { alt: "", draggable: "false" });
  const caption = element("figcaption");
  const button = element("button", { type: "button", class: "job", disabled: true }, image);
  const node = element("figure", { class: "job-figure" }, button, caption);
  let shown = null;  // the number whose picture is shown, or the URL of a preview
  let number = null;
  let isPainting = false;
  button.addEventListener("click", () => {
    hub.choose(number);
    hub.show("look");
  });
  return {
    node,
    draw(job) {
      node.className = `job-figure ${job.state}`;
      number = job.number;
      button.disabled = !number;
      button.setAttribute("aria-label", number ? `Look at picture ${number}, seed ${job.seed}` : `Picture ${index + 1}, seed ${job.seed}`);
      caption.replaceChildren(element("span", {}, `seed ${job.seed} · ${toldOf(job, 0, 1)}`), ...(job.error ? [element("pre", { class: "error" }, job.error)] : []));
      if (number && shown !== number) showMade(number);
    },
    /** Shows the newest frame once the one before is painted. */
    preview(buffer) {
      if (isPainting || number) return;
      isPainting = true;
      const url = URL.createObjectURL(new Blob([buffer], { type: "image/webp" }));
      image.onload = image.onerror = () => {
        isPainting = false;
        URL.revokeObjectURL(url);
      };
      image.classList.add("preview");
      image.src = url;
    },
  };

  async function showMade(made) {
    shown = made;
    const entry = hub.state.pictures.get(made);
    if (!entry) {
      shown = null;
      hub.once("pictures", () => { if (number === made && shown !== made) showMade(made); });
      return;
    }
    const source = await hub.urlOf(entry.file);
    if (number !== made) return;
    image.classList.remove("preview");
    image.onload = image.onerror = null;
    image.src = source;
  }
}

/** Look at a picture as soon as its entry has come. */
function chooseWhenThere(hub, number, isLookedAt) {
  const choose = () => {
    if (!hub.state.pictures.has(number)) {
      hub.once("pictures", choose);
      return;
    }
    hub.choose(number);
    if (isLookedAt) hub.show("look");
  };
  choose();
}
