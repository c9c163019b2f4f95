// The mask of the picture that lies open, as this view has it: at once what is painted here, and in step with what the kernel has.

import { Raster, boxAround } from "./strokes.js";

/** `redraw(box)` is called when pixels have changed, with null for all of them; `retell()` when what can be done or undone has. */
export class Painting {
  constructor(hub, { redraw, retell }) {
    this.hub = hub;
    this.redraw = redraw;
    this.retell = retell;
    this.raster = null;
    this.token = null;
    this.undone = [];
    this.asking = 0;  // strokes of this view that the kernel has not answered yet: until then it is ahead of what it is told
    hub.on("opened", (opened, [, mask]) => this.open(opened, mask));
    hub.on("strokes", () => this.follow());
    hub.on("back", () => { this.asking = 0; });
  }

  async open({ token, width, height, has_image }, mask) {
    if (token === this.token) return;
    this.token = token;
    this.raster = null;
    this.undone = [];
    this.asking = 0;
    const given = mask && (await whitesOf(mask, width, height).catch((error) => this.hub.say("error", `The mask cannot be shown: ${error.message}`)));
    if (token !== this.token) return;
    this.raster = has_image ? new Raster(width, height, given) : null;
    this.follow();
    this.redraw(null);
    this.retell();
  }

  /** Come to have the strokes that the kernel has. */
  follow() {
    const { raster, hub } = this;
    if (!raster || this.asking) return;
    const keep = sharedStart(raster.strokes, hub.state.strokes);
    if (keep === raster.strokes.length && keep === hub.state.strokes.length) return;
    const growing = raster.growing?.stroke;
    let box = growing ? raster.drop() : null;
    box = boxAround(box, raster.change(keep, hub.state.strokes.slice(keep)));
    if (growing) box = boxAround(box, raster.begin(growing));
    this.undone = [];
    this.redraw(box);
    this.retell();
  }

  get canUndo() {
    return Boolean(this.raster?.strokes.length);
  }

  get canRedo() {
    return this.undone.length > 0;
  }

  get isPainting() {
    return Boolean(this.raster?.growing);
  }

  begin(stroke) {
    this.show(this.raster.begin(stroke));
  }

  extend(points) {
    if (points.length) this.show(this.raster.extend(points));
  }

  drop() {
    this.show(this.raster.drop());
  }

  finish() {
    const keep = this.raster.strokes.length;
    const stroke = this.raster.finish();
    this.undone = [];
    this.tell(keep, [stroke]);
  }

  /** Paint a stroke that does not grow. */
  add(stroke) {
    if (!this.raster || this.isPainting) return;
    this.undone = [];
    this.put(stroke);
  }

  put(stroke) {
    const keep = this.raster.strokes.length;
    this.show(this.raster.change(keep, [stroke]));
    this.tell(keep, [stroke]);
  }

  undo() {
    if (!this.canUndo || this.isPainting) return;
    const keep = this.raster.strokes.length - 1;
    this.undone.push(this.raster.strokes[keep]);
    this.show(this.raster.change(keep));
    this.tell(keep, []);
  }

  redo() {
    if (this.canRedo && !this.isPainting) this.put(this.undone.pop());
  }

  show(box) {
    if (box) this.redraw(box);
  }

  tell(keep, add) {
    const { token } = this;
    this.asking += 1;
    this.retell();
    this.hub.do("strokes", { token, keep, add }).catch(() => {}).finally(() => {
      if (token !== this.token) return;
      this.asking = Math.max(0, this.asking - 1);
      this.follow();
    });
  }
}

/** How many strokes two lists begin with alike; ours become theirs there, so that they are compared only once. */
function sharedStart(ours, theirs) {
  const least = Math.min(ours.length, theirs.length);
  let shared = 0;
  for (; shared < least; shared += 1) {
    if (ours[shared] === theirs[shared]) continue;
    if (JSON.stringify(ours[shared]) !== JSON.stringify(theirs[shared])) break;
    ours[shared] = theirs[shared];
  }
  return shared;
}

/** The pixels of a mask's file, 1 for white. */
async function whitesOf(file, width, height) {
  const bitmap = await createImageBitmap(new Blob([file], { type: "image/png" }), { colorSpaceConversion: "none" });
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const whites = new Uint8Array(width * height);
  for (let at = 0; at < whites.length; at += 1) whites[at] = data[4 * at] >> 7;
  return whites;
}
