// Looking at pictures. `const looking = new Looking(root)` is what all frames below an element share: zoom, the point in their middle (0 to 1
// across and down what they started from), and how they are compared with the pictures before them.
// `root` is any element, also of a shadow root, where looking.css has to be; what is shared are properties of its style, so that any number of
// frames follows at once, and several Lookings on one page know nothing of each other. Keys that are pressed in the root are taken, unless
// something below has prevented their default: + - 0 zoom, Shift and arrows move, F flickers between what is before and after, and arrows move
// the boundary where a frame has the focus.
//
//   looking.framed(picture, before, { alone, names })   a frame; a picture is `{ source, width, height, original: { left, top, width, height } }`
//   looking.compareBy("4")                       one of COMPARED_BY
//   looking.show({ zoom: 4, x: 0.3 })            change what is shared
//   looking.follow(listener)                     is called now, and whenever that changes, with
//   looking.view                                 `{ zoom, x, y, split, way, gain }`: the boundary in percent, or when faded how much of after is seen
//                                                less; the way they are compared; of a difference, how often it is shown

import { element } from "./elements.js";

export const MOST_ZOOM = 32;
const FLICKER_MS = 500;
const WAYS = { beside: "side-by-side", difference: "by-difference", fade: "by-fading", flicker: "by-flicker" };
/** What takes letters for itself. */
export const WRITES = "select, summary, textarea, input:not([type=range], [type=checkbox], [type=radio])";

/** How two pictures are compared, for a select: by a boundary, beside each other, by their difference with a gain, one through the other, or by turns. */
export const COMPARED_BY = [
  ["0", "boundary"], ["beside", "side by side"], ["1", "difference"], ["4", "difference ×4"], ["16", "difference ×16"], ["fade", "fading"], ["flicker", "flicker"],
];

/** Where arrows lead, across and down. */
export const PAN = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const within = (least, value, most) => Math.min(most, Math.max(least, value));

export class Looking {
  #root;
  #listeners = [];
  #drag = null;
  #dragged = false;
  #turns = 0;
  view = { zoom: 1, x: 0.5, y: 0.5, split: 50, way: "boundary", gain: 0 };

  constructor(root) {
    this.#root = root;
    root.addEventListener("pointerdown", (event) => this.#press(event));
    root.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, () => { this.#drag = null; });
    root.addEventListener("click", (event) => this.#click(event), true);
    root.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
    root.addEventListener("keydown", (event) => this.#key(event));
    this.show({});
  }

  show(changes) {
    const view = Object.assign(this.view, changes);
    view.zoom = within(1, view.zoom, MOST_ZOOM);
    view.split = within(0, view.split, 100);
    const margin = 0.5 / view.zoom;
    const { left, top, right, bottom } = this.#reach();
    view.x = view.zoom === 1 ? 0.5 : within(margin - left, view.x, 1 - margin + right);
    view.y = view.zoom === 1 ? 0.5 : within(margin - top, view.y, 1 - margin + bottom);
    for (const name of ["zoom", "x", "y", "split", "gain"]) this.#root.style.setProperty(`--${name}`, view[name]);
    this.#root.classList.toggle("zoomed", view.zoom > 1);
    this.#root.classList.toggle("pixels", view.zoom >= 3);
    for (const [way, name] of Object.entries(WAYS)) this.#root.classList.toggle(name, view.way === way);
    if (view.way !== "flicker") this.#stand();
    for (const listener of this.#listeners) listener(view);
  }

  follow(listener) {
    this.#listeners.push(listener);
    listener(this.view);
  }

  compareBy(choice) {
    const gain = Number(choice) || 0;
    this.show({ way: gain ? "difference" : choice === "0" ? "boundary" : choice, gain });
    if (choice === "flicker" && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.#takeTurns();
  }

  get comparedBy() {
    return this.view.way in WAYS && !this.view.gain ? this.view.way : String(this.view.gain);
  }

  /** Change once between what is before and after, by hand: from then on nothing changes by itself. */
  flip() {
    this.#stand();
    this.show({ way: "flicker", gain: 0 });
    this.#root.classList.toggle("flipped");
  }

  /** Two changes a second, below the three flashes of WCAG 2.3.1. */
  #takeTurns() {
    this.#stand();
    this.#turns = setInterval(() => (this.#root.isConnected ? this.#root.classList.toggle("flipped") : this.#stand()), FLICKER_MS);
  }

  #stand() {
    clearInterval(this.#turns);
    this.#turns = 0;
  }

  /** Zoom by a factor, so that the point under the pointer (0 to 1 across and down a frame of such spans) stays where it is. */
  zoomBy(factor, across = 0.5, down = 0.5, spans = [1, 1]) {
    const { zoom: from, x, y } = this.view;
    const zoom = within(1, from * factor, MOST_ZOOM);
    const shift = 1 / from - 1 / zoom;
    this.show({ zoom, x: x + ((across - 0.5) * shift) / spans[0], y: y + ((down - 0.5) * shift) / spans[1] });
  }

  get zoomText() {
    const { zoom } = this.view;
    return `${zoom < 10 ? Number(zoom.toFixed(1)) : Math.round(zoom)}×`;
  }

  /**
   * A picture in a frame, with another one before it if one is given; where nothing scrolls but it is `alone`, and the wheel zooms it without Ctrl.
   * With the `names` of the two, `{ before, after }`, tags in the corners say which is where.
   */
  framed(picture, before, { alone = false, names = null } = {}) {
    const frame = element("div", { class: before ? "frame compared" : "frame", "data-alone": alone });
    const { left, top, width, height } = picture.original;
    const shares = { "from-x": left / picture.width, "span-x": width / picture.width, "from-y": top / picture.height, "span-y": height / picture.height };
    frame.style.setProperty("--shape", String(picture.width / picture.height));
    for (const [name, share] of Object.entries(shares)) frame.style.setProperty(`--${name}`, String(share));
    frame.append(layer(picture, "after"));
    if (!before) return frame;
    frame.append(layer(before, "before", placeIn(picture, before)), element("span", { class: "boundary" }));
    if (names) {
      for (const side of ["before", "after"]) frame.querySelector(`.${side}`).append(element("span", { class: "tag" }, `${side}: ${names[side]}`));
      frame.append(element("span", { class: "tag of-difference" }, `difference: ${names.after} − ${names.before}`));
    }
    return frame;
  }

  /** How far frames go beyond what they started from, as shares of that. */
  #reach() {
    const reach = { left: 0, top: 0, right: 0, bottom: 0 };
    for (const frame of this.#root.querySelectorAll(".frame")) {
      const [[fromX, fromY], [spanX, spanY]] = [sharesIn(frame, "from"), sharesIn(frame, "span")];
      const beyond = { left: fromX / spanX, top: fromY / spanY, right: (1 - fromX) / spanX - 1, bottom: (1 - fromY) / spanY - 1 };
      for (const side of Object.keys(reach)) reach[side] = Math.max(reach[side], beyond[side]);
    }
    return reach;
  }

  // A drag moves the boundary if it starts there, or anywhere while nothing is zoomed; else it moves what is shown.
  #press(event) {
    const frame = event.target.closest(".frame");
    this.#dragged = false;
    if (!frame || event.button !== 0) return;
    const boundary = ["boundary", "fade"].includes(this.view.way) && frame.querySelector(".boundary");
    const moves = boundary && (event.target === boundary || this.view.zoom === 1) ? "boundary" : "picture";
    this.#drag = { frame, moves, startX: event.clientX, startY: event.clientY, x: this.view.x, y: this.view.y };
    frame.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (!this.#drag) return;
    const { frame, moves, startX, startY, x, y } = this.#drag;
    const box = paneAt(frame, event);
    const [across, down] = [event.clientX - startX, event.clientY - startY];
    if (!this.#dragged && Math.hypot(across, down) < 4) return;
    this.#dragged = true;
    event.preventDefault();
    if (moves === "boundary") this.show({ split: ((event.clientX - box.left) / box.width) * 100 });
    else {
      const [spanX, spanY] = sharesIn(frame, "span");
      this.show({ x: x - across / box.width / spanX / this.view.zoom, y: y - down / box.height / spanY / this.view.zoom });
    }
  }

  // The end of a drag is no click.
  #click(event) {
    if (!this.#dragged) return;
    this.#dragged = false;
    event.preventDefault();
    event.stopPropagation();
  }

  #turn(event) {
    const frame = event.target.closest(".frame");
    // Among many pictures the wheel alone scrolls the page.
    if (!frame || !(event.ctrlKey || event.metaKey || "alone" in frame.dataset)) return;
    event.preventDefault();
    const box = paneAt(frame, event);
    this.zoomBy(2 ** (-event.deltaY / 240), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, sharesIn(frame, "span"));
  }

  #key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.target.matches(WRITES)) return;
    const [across, down] = PAN[event.key] ?? [0, 0];
    if (event.key === "+" || event.key === "=") this.zoomBy(1.25);
    else if (event.key === "-") this.zoomBy(0.8);
    else if (event.key === "0") this.show({ zoom: 1 });
    else if (event.key.toLowerCase() === "f" && this.#root.querySelector(".compared")) this.flip();
    else if (event.shiftKey && event.key in PAN) this.show({ x: this.view.x + (across * 0.1) / this.view.zoom, y: this.view.y + (down * 0.1) / this.view.zoom });
    else if (across && event.target.matches(".frame")) this.show({ split: this.view.split + across });
    else return;
    event.preventDefault();
  }
}

/** Where on the page a frame shows the whole of a picture: it all, or of two side by side the half that the pointer is over. */
function paneAt(frame, { clientX }) {
  const boxes = [...frame.querySelectorAll(".layer")].map((each) => each.getBoundingClientRect());
  return boxes.find(({ left, right }) => left <= clientX && clientX < right) ?? boxes[0];
}

/** Shares of a frame's width and height: where what its picture started from begins, or what it takes. */
function sharesIn(frame, name) {
  return ["x", "y"].map((side) => Number(frame.style.getPropertyValue(`--${name}-${side}`)));
}

/** Where in a picture's frame another one lies, in percent, so that what both began with is one; all of the frame if that has other proportions. */
function placeIn(picture, other) {
  const [ours, theirs] = [picture.original, other.original];
  const [across, down] = [ours.width / theirs.width, ours.height / theirs.height];
  if (Math.abs(across / down - 1) > 0.02) return {};
  return {
    left: ((ours.left - theirs.left * across) / picture.width) * 100,
    top: ((ours.top - theirs.top * down) / picture.height) * 100,
    width: ((other.width * across) / picture.width) * 100,
    height: ((other.height * down) / picture.height) * 100,
  };
}

function layer({ source, sha256 }, kind, place = {}) {
  const image = element("img", { src: source, alt: "", decoding: "async", draggable: "false", "data-sha256": sha256 });
  for (const [side, percent] of Object.entries(place)) image.style.setProperty(side, `${percent}%`);
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth * 1.5 <= image.clientWidth));
  return element("div", { class: `layer ${kind}` }, element("div", { class: "lens" }, image));
}
