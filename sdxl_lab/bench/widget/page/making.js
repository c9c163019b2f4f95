// Making: the button, how far it is, a preview of what comes, several seeds beside each other, and cancel.

import { counted, element, offer } from "./elements.js";
import { settingName } from "./naming.js";

const COUNTS = [1, 2, 3, 4, 6, 8];
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
  const glance = element("img", { alt: "" });
  const glimpse = element("button", { type: "button", class: "glimpse", title: "Look at it", "aria-label": "Look at what was made last", hidden: true }, glance);
  const bar = element("div", { class: "making-bar", role: "group", "aria-label": "Making" },
    make, count, cancel, element("label", { title: "Make again whenever a knob is turned; what is on its way gives place" }, live, " while turning"),
    glimpse, meter, text);
  const pane = element("div", { class: "making-pane" });
  const cells = [];
  const last = frameOf(hub, glance);
  glimpse.addEventListener("click", () => hub.show(busy ? "making" : "look"));

  // Who turns a knob stays where it is seen what it does; the glimpse beside the button shows what comes of it.
  let isTurning = false;
  hub.make = async ({ latest = false } = {}) => {
    isTurning = latest;
    const { refused } = await hub.do("make", { count: Number(count.value), latest }).catch(() => ({ refused: [] }));
    if (refused) text.textContent = `not made: ${refused.map(({ path, text: why }) => `${path ? `${settingName(hub, path)}: ` : ""}${why}`).join(" · ")}`;
    else if (!latest && busy) hub.show("making");
  };
  make.addEventListener("click", () => hub.make());
  cancel.addEventListener("click", () => hub.do("cancel").catch(() => {}));
  live.addEventListener("change", () => { hub.local.live = live.checked; });

  let busy = false;
  let ended;  // the Make that has ended; undefined until the view knows of any
  hub.on("pictures", () => { if (hub.state.jobs.length) last.show(hub.state.jobs.at(-1).number); });
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
    if (jobs.length) last.show(jobs.at(-1).number);
    glimpse.hidden = !jobs.length;
    busy = jobs.some(({ state }) => !OVER.includes(state));
    const make = busy ? null : jobs[0]?.make ?? null;
    const number = jobs.findLast((job) => job.number)?.number;
    if (number && make !== null && ![undefined, make].includes(ended)) chooseWhenThere(hub, number, jobs.length === 1 && !isTurning);
    if (make !== null || ended === undefined) ended = make;
  });
  hub.on("preview", (job, [image]) => {
    cells[job.job]?.draw(job);
    if (image) for (const shown of [cells[job.job], last]) shown?.preview(image);
    drawBar(hub.state.jobs.map((other) => (other.job === job.job ? job : other)));
  });
  hub.on("checked", () => { if (text.textContent.startsWith("not made")) drawBar(hub.state.jobs); });
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
  else if (job.total && job.done === job.total) parts.push("decoding, measuring, keeping");
  else if (job.total && job.done) parts.push(`step ${job.done} of ${job.total}`);
  else parts.push(job.doing || "making");
  if (job.all_remembered) parts.push("all steps from memory");
  else if (job.remembered) parts.push(`${counted(job.remembered, "step")} from memory`);
  if (job.left_s) parts.push(`${job.left_s < 10 ? job.left_s.toFixed(1) : Math.round(job.left_s)} s left`);
  return parts.join(" · ");
}

/** An image that shows a picture as it grows, and the finished one as soon as it is there. */
function frameOf(hub, image) {
  let shown = null;  // the number of the finished picture
  let isPainting = false;
  return {
    /** The newest frame, once the one before is painted. */
    preview(buffer) {
      shown = null;
      if (isPainting) return;
      isPainting = true;
      const url = URL.createObjectURL(new Blob([buffer], { type: "image/webp" }));
      image.onload = image.onerror = () => {
        isPainting = false;
        URL.revokeObjectURL(url);
      };
      image.classList.add("preview");
      image.src = url;
    },
    async show(number) {
      const entry = hub.state.pictures.get(number);
      if (!entry || shown === number) return;
      shown = number;
      const source = await hub.urlOf(entry.file).catch(() => null);
      if (shown !== number) return;
      if (source === null) {
        shown = null;  // the next news tries again
        return;
      }
      isPainting = false;
      image.onload = image.onerror = null;
      image.classList.remove("preview");
      image.src = source;
    },
  };
}

/** One picture of a Make: its preview as it grows, then itself. */
function jobCell(hub, index) {
  const image = element("img", { alt: "", draggable: "false" });
  const frame = frameOf(hub, image);
  const caption = element("figcaption");
  const button = element("button", { type: "button", class: "job", disabled: true }, image);
  const node = element("figure", { class: "job-figure" }, button, caption);
  let number = null;
  button.addEventListener("click", () => {
    hub.choose(number);
    hub.show("look");
  });
  hub.on("pictures", () => { if (number && node.isConnected) frame.show(number); });
  return {
    node,
    preview: (buffer) => { if (!number) frame.preview(buffer); },
    draw(job) {
      node.className = `job-figure ${job.state}`;
      number = job.number;
      button.disabled = !number;
      button.setAttribute("aria-label", number ? `Look at picture ${number}, seed ${job.seed}` : `Picture ${index + 1}, seed ${job.seed}`);
      const [width, height] = hub.state.checked?.result ?? [1, 1];
      button.style.aspectRatio = `${width} / ${height}`;
      caption.replaceChildren(element("span", {}, `seed ${job.seed} · ${toldOf(job, 0, 1)}`), ...(job.error ? [element("pre", { class: "error" }, job.error)] : []));
      if (number) frame.show(number);
    },
  };
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
