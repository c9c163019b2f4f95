"use strict";
// What all pictures share: zoom, the point in their middle (0 to 1 across and down what they started from), and the boundary between before
// and after. They are properties of the page's style, so that any number of pictures follows at once.

const MOST_ZOOM = 32;
const view = { zoom: 1, x: 0.5, y: 0.5, split: 50 };
const followers = [];
const reach = Object.fromEntries(["left", "right", "top", "bottom"].map((side) => [side, Math.max(0, ...report.pictures.map((picture) => beyond(picture, side)))]));

/** How far a picture goes beyond what it started from, as a share of that. */
function beyond(picture, side) {
  if (!picture.width) return 0;
  const { left, top, width, height } = originalOf(picture);
  return { left: left / width, right: (picture.width - left) / width - 1, top: top / height, bottom: (picture.height - top) / height - 1 }[side];
}

function show(changes) {
  Object.assign(view, changes);
  view.zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom));
  const margin = 0.5 / view.zoom;
  view.x = Math.min(1 - margin + reach.right, Math.max(margin - reach.left, view.x));
  view.y = Math.min(1 - margin + reach.bottom, Math.max(margin - reach.top, view.y));
  if (view.zoom === 1) Object.assign(view, { x: 0.5, y: 0.5 });
  view.split = Math.min(100, Math.max(0, view.split));
  for (const [name, value] of Object.entries(view)) document.documentElement.style.setProperty(`--${name}`, value);
  document.body.classList.toggle("zoomed", view.zoom > 1);
  document.body.classList.toggle("pixels", view.zoom >= 3);
  for (const follow of followers) follow();
}

/** Zoom by a factor, so that the point under the pointer (0 to 1 across and down a frame of such spans) stays where it is. */
function zoomBy(factor, across = 0.5, down = 0.5, spans = [1, 1]) {
  const zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom * factor));
  const shift = 1 / view.zoom - 1 / zoom;
  show({ zoom, x: view.x + ((across - 0.5) * shift) / spans[0], y: view.y + ((down - 0.5) * shift) / spans[1] });
}

/** A picture in a frame, with another one before it if one is given. */
function framed(picture, before) {
  const frame = element("div", { class: "frame" });
  frame.style.aspectRatio = `${picture.width} / ${picture.height}`;
  const { left, top, width, height } = originalOf(picture);
  const places = { "--from-x": left / picture.width, "--span-x": width / picture.width, "--from-y": top / picture.height, "--span-y": height / picture.height };
  for (const [name, share] of Object.entries(places)) frame.style.setProperty(name, String(share));
  frame.append(layer(picture, "after"));
  if (before && before.sha256 in report.files) frame.append(layer(before, "before", placeIn(picture, before)), element("span", { class: "boundary" }));
  return frame;
}

/** The shares of a frame's width and height that what its picture started from takes. */
const spansOf = (frame) => ["--span-x", "--span-y"].map((name) => Number(frame.style.getPropertyValue(name)));

/** Where in a picture's frame another one lies, in percent, so that what both began with is one; all of the frame if that has other proportions. */
function placeIn(picture, other) {
  const [ours, theirs] = [originalOf(picture), originalOf(other)];
  const [across, down] = [ours.width / theirs.width, ours.height / theirs.height];
  if (Math.abs(across / down - 1) > 0.02) return {};
  return {
    left: ((ours.left - theirs.left * across) / picture.width) * 100,
    top: ((ours.top - theirs.top * down) / picture.height) * 100,
    width: ((other.width * across) / picture.width) * 100,
    height: ((other.height * down) / picture.height) * 100,
  };
}

function layer({ sha256 }, kind, place = {}) {
  const image = element("img", { src: report.files[sha256], alt: "", decoding: "async", draggable: "false", "data-sha256": sha256 });
  for (const [side, percent] of Object.entries(place)) image.style.setProperty(side, `${percent}%`);
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth * 1.5 <= image.clientWidth));
  return element("div", { class: `layer ${kind}` }, element("div", { class: "lens" }, image));
}

// A drag moves the boundary if it starts there, or anywhere while nothing is zoomed; else it moves what is shown.
let drag = null;
let dragged = false;

document.addEventListener("pointerdown", (event) => {
  const frame = event.target.closest(".frame");
  dragged = false;
  if (!frame || event.button !== 0) return;
  const boundary = frame.querySelector(".boundary");
  const moves = boundary && (event.target === boundary || view.zoom === 1) ? "boundary" : "picture";
  drag = { frame, moves, startX: event.clientX, startY: event.clientY, x: view.x, y: view.y };
});

document.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const { frame, moves, startX, startY } = drag;
  const box = frame.getBoundingClientRect();
  const [across, down] = [event.clientX - startX, event.clientY - startY];
  if (!dragged && Math.hypot(across, down) < 4) return;
  dragged = true;
  event.preventDefault();
  if (moves === "boundary") show({ split: ((event.clientX - box.left) / box.width) * 100 });
  else {
    const [spanX, spanY] = spansOf(frame);
    show({ x: drag.x - across / box.width / spanX / view.zoom, y: drag.y - down / box.height / spanY / view.zoom });
  }
});

for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => { drag = null; });

// The end of a drag is no click.
document.addEventListener("click", (event) => {
  if (!dragged) return;
  dragged = false;
  event.preventDefault();
  event.stopPropagation();
}, true);

document.addEventListener("wheel", (event) => {
  const frame = event.target.closest(".frame");
  // Among many pictures the wheel alone scrolls the page.
  if (!frame || !(event.ctrlKey || event.metaKey || frame.closest("dialog"))) return;
  event.preventDefault();
  const box = frame.getBoundingClientRect();
  zoomBy(2 ** (-event.deltaY / 240), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, spansOf(frame));
}, { passive: false });

const PAN = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, summary")) return;
  if (event.key === "+" || event.key === "=") zoomBy(1.25);
  else if (event.key === "-") zoomBy(0.8);
  else if (event.key === "0") show({ zoom: 1 });
  else if (event.shiftKey && event.key in PAN) {
    const [across, down] = PAN[event.key];
    show({ x: view.x + (across * 0.1) / view.zoom, y: view.y + (down * 0.1) / view.zoom });
  } else return;
  event.preventDefault();
}, true);

function zoomText() {
  return `${view.zoom < 10 ? Number(view.zoom.toFixed(1)) : Math.round(view.zoom)}×`;
}
