// The picture that lies open, and its mask over it: tools that paint, and where the picture will be repainted.

import { element } from "./elements.js";
import { boxAround } from "./strokes.js";
import { Painting } from "./painting.js";
import { drawTint, pictureIn } from "./place.js";
import { handsOn } from "./hands.js";
import { uploading } from "./uploading.js";
import { toolsOf } from "./tools.js";

const TINT = [130, 60, 255];  // rare in photographs
const MOST_POINTS = 10_000;  // of one stroke; a longer one goes on as another
const HELP = "Arrow keys move a point, with Ctrl by one pixel; hold Space to paint as it moves, or press Enter to begin and to end. "
  + "Shift and arrows move the picture, + and - zoom, 0 shows all. B brush, E eraser, R rectangle, L lasso, X turns painting into erasing, "
  + "left and right bracket change the size, I inverts, F fills holes, C clears, Ctrl+Z undoes, Ctrl+Shift+Z redoes, Escape gives up what is begun.";

/** The part of a view in which its picture is opened and its mask is painted. */
export function canvasPart(hub) {
  const image = element("img", { alt: "", draggable: "false" });
  const lines = drawing();
  const tint = element("canvas", { class: "paint-tint" });
  const marks = drawing("paint-marks");
  const frame = element("div", {
    class: "frame paint-frame", tabindex: "0", role: "application", "aria-label": "The picture and its mask", "aria-description": HELP,
  });
  frame.append(
    element("div", { class: "layer" }, element("div", { class: "lens" }, image)), tint,
    element("div", { class: "layer outlines paint-outlines" }, element("div", { class: "lens" }, lines)), marks,
  );
  const node = element("section", { class: "paint", "aria-label": "Paint" });
  const context = tint.getContext("2d", { willReadFrequently: true });
  const files = uploading(hub, node);
  const empty = emptyState();
  const status = element("p", { class: "paint-status quiet" });
  let canvas = null;  // what the frame shows, in pixels of the picture: its size, and where the picture lies in it
  let source = null;
  let hovered = null;
  let drawn = null;  // the box that is to be drawn again, or "all"

  const place = () => pictureIn(frame, canvas, hub.looking.view);
  const redraw = (box) => {
    if (!drawn) requestAnimationFrame(draw);
    drawn = box && drawn !== "all" ? boxAround(drawn, box) : "all";
  };
  const painting = new Painting(hub, { redraw, retell: () => tools.retell() });
  const hand = handOf(painting, () => tools, (point) => {
    hovered = point;
    drawMarks();
  });
  const tools = toolsOf(hub, painting, files, hand, { redraw: () => redraw(null), remark: drawMarks });
  /** What lies open, and what its mask means where that is not what is repainted. */
  function tellStatus() {
    const { opened, checked } = hub.state;
    const { task, values = {} } = checked ?? {};
    const meaning = task !== "outpaint" ? "" : values.mode === "canvas" ? " · the mask is not used, only the canvas is painted" : " · what is painted is kept, and all around it made anew";
    const text = opened?.has_image ? `${opened.name} · ${opened.width}×${opened.height} · the wheel zooms, Space and a drag move, Alt erases` : "";
    status.textContent = text && text + meaning;
  }

  hub.on("checked", tellStatus);
  node.append(tools.node, ...files.overlays, empty, frame, files.doing, status);
  node.addEventListener("keydown", (event) => tools.key(event));
  handsOn(frame, hub, place, hand);

  function draw() {
    const box = drawn;
    drawn = null;
    if (!canvas || !frame.clientWidth) return;
    const ratio = globalThis.devicePixelRatio || 1;
    const size = [frame.clientWidth, frame.clientHeight].map((side) => Math.round(side * ratio));
    const isNew = size[0] !== tint.width || size[1] !== tint.height;
    if (isNew) [tint.width, tint.height] = size;
    if (box === "all" || isNew) context.clearRect(0, 0, ...size);
    if (painting.raster) drawTint(context, painting.raster, place(), [...TINT, tools.opacity], box === "all" || isNew ? null : box);
    drawMarks();
  }

  function drawMarks() {
    if (!canvas || !frame.clientWidth) return;
    const now = place();
    marks.replaceChildren(...[...marksOf(now, tools, hand, hovered)].flatMap(([tag, attributes]) => ["under", "over"].map((name) => shape(tag, { ...attributes, class: name }))));
  }

  /** Show the picture in its canvas, whose size only the kernel knows if it goes beyond the picture. */
  function lay() {
    const { opened, outline } = hub.state;
    const has = Boolean(opened?.has_image);
    node.classList.toggle("is-empty", !has);
    frame.hidden = !has;
    empty.hidden = has || !opened;
    canvas = has ? { width: opened.width, height: opened.height, left: 0, top: 0 } : null;
    if (!has) return;
    if (outline?.token === opened.token) canvas = { width: outline.width, height: outline.height, left: outline.left, top: outline.top };
    const { width, height, left, top } = canvas;
    frame.style.aspectRatio = `${width} / ${height}`;
    frame.style.setProperty("--ratio", String(width / height));
    const shares = { "from-x": left / width, "span-x": opened.width / width, "from-y": top / height, "span-y": opened.height / height };
    for (const [name, share] of Object.entries(shares)) frame.style.setProperty(`--${name}`, String(share));
    Object.assign(image.style, { left: `${shares["from-x"] * 100}%`, top: `${shares["from-y"] * 100}%`, width: `${shares["span-x"] * 100}%`, height: `${shares["span-y"] * 100}%` });
    frame.classList.toggle("beyond", width > opened.width || height > opened.height);
    lines.setAttribute("viewBox", `0 0 ${width} ${height}`);
    hub.looking.show({});
    redraw(null);
  }

  hub.on("opened", (opened, [file]) => {
    if (source) URL.revokeObjectURL(source);
    source = file ? URL.createObjectURL(new Blob([file], { type: "image/webp" })) : null;
    if (source) image.src = source;
    else image.removeAttribute("src");
    lines.replaceChildren();
    tellStatus();
    tools.open(opened);
    lay();
  });
  hub.on("outline", (outline, [repainted, feather]) => {
    if (outline.token !== hub.state.opened?.token) return;
    const paths = [[outline.feather, feather, "feather"], [outline.lengths, repainted, "repainted"]];
    const drawn = paths.map(([lengths, points, name]) => [pathOf(lengths, points), name]);
    if (outline.frame) drawn.push([pathAround(outline.frame), "frame"]);
    lines.replaceChildren(...drawn.flatMap(([d, name]) => (
      d ? ["outline-under", "outline"].map((kind) => shape("path", { d, class: `${kind} ${name}` })) : []
    )));
    if (["width", "height", "left", "top"].some((side) => canvas?.[side] !== outline[side])) lay();
  });
  hub.on("end", () => { if (source) URL.revokeObjectURL(source); });
  hub.looking.follow(() => redraw(null));
  new ResizeObserver(() => redraw(null)).observe(frame);
  lay();
  return { node, painting };
}

/** What paints, told of points by whatever hand: with the tool that is chosen. */
function handOf(painting, toolsNow, hover) {
  let turned = false;
  let line = null;  // of a rectangle or lasso that is being drawn
  return {
    hover,
    get line() { return line; },
    get isPressed() { return painting.isPainting || line !== null; },
    get step() { return Math.max(1, Math.round(toolsNow().size / 3)); },
    press(point, isTurned) {
      const { tool, size } = toolsNow();
      if (!painting.raster) return;
      if (painting.isPainting || line) this.drop();  // what never heard of its end
      turned = isTurned;
      if (tool === "brush" || tool === "eraser") painting.begin({ tool: isTurned ? "eraser" : tool, size, points: [point] });
      else line = [point];
    },
    move(points) {
      if (line) {
        line = toolsNow().tool === "rectangle" ? [line[0], points[points.length - 1]] : withoutRepeats([...line, ...points], line.length);
        hover(points[points.length - 1]);
        return;
      }
      const { points: before } = painting.raster.growing.stroke;
      const last = before[before.length - 1];
      painting.extend(withoutRepeats([last, ...points], 1).slice(1));
      if (before.length < MOST_POINTS) return;
      const { tool, size, points: all } = painting.raster.growing.stroke;
      painting.finish();
      painting.begin({ tool, size, points: [all[all.length - 1]] });
    },
    lift() {
      if (!line) {
        painting.finish();
        return;
      }
      const points = line;
      line = null;
      const { tool, erases } = toolsNow();
      if (points.length > 1) painting.add({ tool, erase: erases !== turned, points });
      hover(null);
    },
    drop() {
      if (painting.isPainting) painting.drop();
      line = null;
      hover(null);
    },
  };
}

/** Points without those that repeat the one before, from an index on. */
function withoutRepeats(points, from) {
  return points.filter(([x, y], index) => index < from || x !== points[index - 1][0] || y !== points[index - 1][1]);
}

/** The outline of what is being drawn, and of the brush where somebody points: [tag, attributes] in CSS pixels of the frame. */
function* marksOf({ scale, left, top }, { tool, size }, { line }, hovered) {
  const inFrame = ([x, y]) => [left + x * scale, top + y * scale];
  if (line && tool === "rectangle" && line.length > 1) {
    const [[ax, ay], [bx, by]] = line.map(inFrame);
    yield ["path", { d: `M${ax} ${ay}H${bx}V${by}H${ax}Z` }];
  } else if (line) yield ["path", { d: `M${line.map((point) => inFrame(point).join(" ")).join("L")}` }];
  if (!hovered) return;
  const [cx, cy] = inFrame(hovered);
  if (tool === "brush" || tool === "eraser") yield ["circle", { cx, cy, r: Math.max(1, (size / 2) * scale) }];
  yield ["path", { d: `M${cx - 5} ${cy}H${cx + 5}M${cx} ${cy - 5}V${cy + 5}`, "data-cross": "" }];
}

/** Closed lines through the middles of pixels, as an SVG path has them. */
function pathOf(lengths, buffer) {
  if (!buffer?.byteLength) return "";
  const bytes = ArrayBuffer.isView(buffer) ? buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength) : buffer;
  const points = new Uint16Array(bytes);
  const parts = [];
  let at = 0;
  for (const length of lengths) {
    for (let point = 0; point < length; point += 1, at += 2) parts.push(`${point ? "L" : "M"}${points[at] + 0.5} ${points[at + 1] + 0.5}`);
    parts.push("Z");
  }
  return parts.join("");
}

/** Around what a box holds, likewise. */
function pathAround([left, top, right, bottom]) {
  return `M${left + 0.5} ${top + 0.5}H${right - 0.5}V${bottom - 0.5}H${left + 0.5}Z`;
}

function drawing(name = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  made.setAttribute("class", name);
  made.setAttribute("aria-hidden", "true");
  made.setAttribute("preserveAspectRatio", "none");
  return made;
}

function shape(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function emptyState() {
  return element("div", { class: "paint-empty", hidden: true },
    element("p", {}, element("strong", {}, "Nothing is open.")),
    element("p", {}, "Drop a picture here, paste one (Ctrl+V), or open one, and paint what is to be made anew."),
    element("p", { class: "quiet" }, "Or write a prompt and press Make: words alone need no picture."));
}
