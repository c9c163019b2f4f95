// The tools by which a mask is painted, in a bar of buttons and by keys.

import { element } from "./elements.js";

const TOOLS = [
  ["brush", "Brush", "b", "M14 2 7.8 8.6M7 9a2.4 2.4 0 0 0-3.4 2.2c0 1.3-.8 1.8-1.8 2 1.3 1 6 1.2 6.4-2.2A2.4 2.4 0 0 0 7 9Z"],
  ["eraser", "Eraser", "e", "M6.5 13.5 2.6 9.6 9.3 2.9l4.2 4.2-6.4 6.4ZM5.9 6.3l4.2 4.2M6.5 13.5H14"],
  ["rectangle", "Rectangle", "r", "M2.5 3.5h11v9h-11Z"],
  ["lasso", "Lasso", "l", "M8 2.4c-3.4 0-6 1.6-6 3.7s2.6 3.7 6 3.7 6-1.6 6-3.7-2.6-3.7-6-3.7ZM4.4 9.1c-1.3.7-1.1 2.2.3 2.3 1.2.1 1.4 1.2.5 2.4"],
];
const COMMANDS = [
  ["invert", "Invert the mask", "i", "M8 2.2a5.8 5.8 0 1 0 0 11.6ZM8 2.2a5.8 5.8 0 0 1 0 11.6M9.5 4.5v7M11 5.5v5"],
  ["fill", "Fill holes", "f", "M2.5 2.5h11v11h-11ZM5.5 5.5h5v5h-5ZM5.5 8 8 5.5M5.8 10.2l4.4-4.4M8 10.5 10.5 8"],
  ["clear", "Clear the mask", "c", "M3.5 5h9M6.5 5V3h3v2M4.5 5l.6 8.5h5.8l.6-8.5M7 7.5v4M9 7.5v4"],
];
const MOST_SIZE = 4096;
const STEP = 1.2;  // of the brush's size, at a key

/** The bar, and what of it others need: `tool`, `size`, `erases`, `opacity`. */
export function toolsOf(hub, painting, files, hand, { redraw, remark }) {
  const state = { tool: "brush", size: 48, erases: false, opacity: 0.5 };
  const choices = TOOLS.map(([tool, label, key, line]) => toolButton(label, key.toUpperCase(), line, () => choose(tool)));
  const turned = toolButton("Take away: rectangle and lasso erase", "X", "M3 8h10", () => turn());
  const commands = COMMANDS.map(([tool, label, key, line]) => toolButton(label, key.toUpperCase(), line, () => painting.add({ tool })));
  const undo = toolButton("Undo", "Ctrl+Z", "M5.5 3 2.5 6l3 3M2.5 6H9a4 4 0 0 1 0 8H6", () => painting.undo());
  const redo = toolButton("Redo", "Ctrl+Shift+Z", "M10.5 3l3 3-3 3M13.5 6H7a4 4 0 0 0 0 8h3", () => painting.redo());
  const out = toolButton("Zoom out", "-", "M7 2.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6ZM10.5 10.5 14 14M4.8 7h4.4", () => hub.looking.zoomBy(0.8));
  const all = toolButton("Show all", "0", "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10", () => hub.looking.show({ zoom: 1 }));
  const closer = toolButton("Zoom in", "+", "M7 2.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6ZM10.5 10.5 14 14M4.8 7h4.4M7 4.8v4.4", () => hub.looking.zoomBy(1.25));
  const zoom = element("output", { class: "paint-zoom", "aria-label": "Zoom" });
  const size = element("input", { type: "range", min: "0", max: "1", step: "any", title: "Size of brush and eraser ( [ and ] )" });
  const sizeText = element("output", {});
  const opacity = element("input", { type: "range", min: "0.1", max: "1", step: "0.05", value: String(state.opacity), title: "How much the mask covers the picture" });
  const close = element("button", { type: "button", title: "Close the picture, and make from words alone" }, "Close");
  close.addEventListener("click", () => hub.do("close").catch(() => {}));
  size.addEventListener("input", () => resize(sizeAt(Number(size.value))));
  opacity.addEventListener("input", () => {
    state.opacity = Number(opacity.value);
    redraw();
  });
  const group = (label, ...children) => element("div", { class: "paint-group", role: "group", "aria-label": label }, ...children);
  const ofMask = [
    group("Tool", ...choices, turned), element("label", {}, "Size", size, sizeText), group("Mask", ...commands), group("History", undo, redo),
    group("View", out, all, closer, zoom), element("label", {}, "Cover", opacity),
  ];
  const node = element("div", { class: "paint-tools", role: "group", "aria-label": "Painting" }, ...ofMask, group("Files", files.openImage, files.openMask, close));
  hub.looking.follow(() => { zoom.textContent = hub.looking.zoomText; });

  function choose(tool) {
    if (state.tool !== tool) hand.drop();
    state.tool = tool;
    show();
  }

  function turn() {
    state.erases = !state.erases;
    show();
  }

  function resize(to) {
    state.size = Math.min(MOST_SIZE, Math.max(1, Math.round(2 * to) / 2));
    show();
  }

  function show() {
    TOOLS.forEach(([tool], index) => choices[index].setAttribute("aria-pressed", String(tool === state.tool)));
    turned.setAttribute("aria-pressed", String(state.erases));
    turned.disabled = state.tool === "brush" || state.tool === "eraser";
    size.value = String(Math.log(state.size) / Math.log(mostOf(hub)));
    size.setAttribute("aria-valuetext", `${state.size} pixels`);
    sizeText.textContent = `${state.size} px`;
    remark();
  }

  const sizeAt = (share) => mostOf(hub) ** share;
  const doing = {
    "[": () => resize(Math.min(state.size / STEP, state.size - 0.5)),
    "]": () => resize(Math.max(state.size * STEP, state.size + 0.5)),
    x: turn,
    ...Object.fromEntries(TOOLS.map(([tool, , key]) => [key, () => choose(tool)])),
    ...Object.fromEntries(COMMANDS.map(([tool, , key]) => [key, () => painting.add({ tool })])),
  };

  return Object.assign(state, {
    node,
    open({ has_image, width, height }) {
      hand.drop();
      for (const part of ofMask) part.hidden = !has_image;
      close.hidden = files.openMask.hidden = !has_image;
      if (has_image) resize(Math.round(Math.min(width, height) / 12));
    },
    retell() {
      undo.disabled = !painting.canUndo;
      redo.disabled = !painting.canRedo;
    },
    key(event) {
      if (!painting.raster || event.altKey || event.defaultPrevented) return;
      const key = event.key.toLowerCase();
      if (event.ctrlKey || event.metaKey) {
        if (key === "z") painting[event.shiftKey ? "redo" : "undo"]();
        else if (key === "y") painting.redo();
        else return;
      } else if (key === "escape" && hand.isPressed) hand.drop();
      else if (Object.hasOwn(doing, key)) doing[key]();
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
  });
}

/** The largest size that the slider reaches, in pixels. */
function mostOf(hub) {
  const { width = 1024, height = 1024 } = hub.state.opened ?? {};
  return Math.min(MOST_SIZE, Math.max(16, Math.min(width, height)));
}

function toolButton(label, key, line, does) {
  const [picture, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  picture.setAttribute("viewBox", "0 0 16 16");
  picture.setAttribute("aria-hidden", "true");
  path.setAttribute("d", line);
  picture.append(path);
  const button = element("button", { type: "button", class: "paint-tool", "aria-label": label, title: `${label} (${key})` }, picture);
  button.addEventListener("click", does);
  return button;
}
