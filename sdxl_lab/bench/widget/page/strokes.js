// Strokes as pixels, the same ones as sdxl_lab/images/strokes.py and spans.py make: whole quarters of a pixel throughout, and no number beyond 2 ** 53.

/** A mask with strokes on it: `pixels` holds 1 for white, row by row. Boxes are {left, top, right, bottom}, or null where nothing changed. */
export class Raster {
  /** Start with a mask of 0 and 1, or null for one that is all black. */
  constructor(width, height, given = null) {
    this.width = width;
    this.height = height;
    this.pixels = given ? Uint8Array.from(given) : new Uint8Array(width * height);
    this.strokes = [];
    this.turned = [];
    this.growing = null;
  }

  /** Take back the strokes after the first `keep`, and paint others. */
  change(keep, add = []) {
    let box = null;
    while (this.strokes.length > keep) {
      this.strokes.pop();
      box = boxAround(box, this.turnBack(this.turned.pop()));
    }
    for (const stroke of add) {
      box = boxAround(box, this.begin(stroke));
      this.finish();
    }
    return box;
  }

  /** Paint a stroke that may grow. */
  begin(stroke) {
    const points = stroke.points && { points: [...stroke.points] };
    this.growing = { stroke: { ...stroke, ...points }, runs: [], box: null };
    return this.paint(spansOf(stroke, this));
  }

  /** Let a brush or eraser go on to more points. */
  extend(points) {
    const { stroke } = this.growing;
    const from = stroke.points[stroke.points.length - 1];
    stroke.points.push(...points);
    return this.paint(spansOf({ ...stroke, points: [from, ...points] }, this));
  }

  /** Give up the stroke that grows. */
  drop() {
    const { runs, box } = this.growing;
    this.growing = null;
    return this.turnBack({ runs, box });
  }

  /** Keep the stroke that grew, and return it. */
  finish() {
    const { stroke, runs, box } = this.growing;
    this.growing = null;
    this.strokes.push(stroke);
    this.turned.push({ runs: Float64Array.from(runs), box });
    return stroke;
  }

  paint(spans) {
    const { stroke, runs } = this.growing;
    for (let at = 0; at < spans.length; at += 2) {
      if (stroke.tool === "invert") {
        runs.push(spans[at], spans[at + 1]);
        this.turn(spans[at], spans[at + 1]);
      } else {
        this.set(spans[at], spans[at + 1], whitens(stroke) ? 1 : 0, runs);
      }
    }
    const box = boxOfSpans(spans, this.width);
    this.growing.box = boxAround(this.growing.box, box);
    return box;
  }

  /** Give pixels a value, and note the runs of those that had another. */
  set(start, stop, value, runs) {
    const { pixels } = this;
    let at = start;
    while (at < stop) {
      while (at < stop && pixels[at] === value) at += 1;
      if (at === stop) return;
      runs.push(at);
      while (at < stop && pixels[at] !== value) at += 1;
      runs.push(at);
      pixels.fill(value, runs[runs.length - 2], at);
    }
  }

  turn(start, stop) {
    const { pixels } = this;
    for (let at = start; at < stop; at += 1) pixels[at] ^= 1;
  }

  turnBack({ runs, box }) {
    for (let at = 0; at < runs.length; at += 2) this.turn(runs[at], runs[at + 1]);
    return box;
  }
}

/** The box around two. */
export function boxAround(one, other) {
  if (!one || !other) return one || other;
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}

/** Whether a stroke makes white what it covers, not black. */
function whitens(stroke) {
  return stroke.tool === "brush" || stroke.tool === "fill" || ((stroke.tool === "rectangle" || stroke.tool === "lasso") && !stroke.erase);
}

/** The pixels that a stroke sets: where runs start and stop, counted over the whole picture. */
function spansOf(stroke, raster) {
  const { width, height } = raster;
  if (stroke.tool === "invert" || stroke.tool === "clear") return [0, width * height];
  if (stroke.tool === "fill") return holeSpans(raster);
  const points = stroke.points.map(([x, y]) => [4 * x, 4 * y]);
  if (stroke.tool === "brush" || stroke.tool === "eraser") return brushSpans(points, 2 * stroke.size, width, height);
  if (stroke.tool === "lasso") return lassoSpans(points, width, height);
  const [[left, top], [right, bottom]] = points;
  return lassoSpans([[left, top], [right, top], [right, bottom], [left, bottom]], width, height);
}

function brushSpans(points, radius, width, height) {
  const spans = [];
  if (points.length === 1) addSegment(spans, points[0], points[0], radius, width, height);
  for (let at = 1; at < points.length; at += 1) addSegment(spans, points[at - 1], points[at], radius, width, height);
  return spans;
}

function addSegment(spans, [x, y], [endX, endY], radius, width, height) {
  const across = endX - x;
  const down = endY - y;
  const square = across * across + down * down;
  const reach = floorOfRoot(BigInt(radius * radius) * BigInt(square));
  const lastRow = Math.min(height - 1, lastPixel(Math.max(y, endY) + radius));
  for (let row = Math.max(0, firstPixel(Math.min(y, endY) - radius)); row <= lastRow; row += 1) {
    const below = 4 * row + 2 - y;
    const beside = bothOf(
      wholeWithin(below * across - reach, down, below * across + reach),
      wholeWithin(1 - below * down, across, square - 1 - below * down),
    );
    const atStart = diskReach(below, radius);
    const atEnd = diskReach(below - down, radius);
    const first = firstPixel(x + Math.min(beside[0], -atStart, across - atEnd));
    const last = lastPixel(x + Math.max(beside[1], atStart, across + atEnd));
    addSpan(spans, row, first, last + 1, width);
  }
}

function lassoSpans(points, width, height) {
  const crossings = new Map();
  points.forEach((point, at) => {
    const next = points[(at + 1) % points.length];
    const [[x, y], [endX, endY]] = point[1] > next[1] ? [next, point] : [point, next];
    const lastRow = Math.min(height - 1, lastPixel(endY - 1));
    for (let row = Math.max(0, firstPixel(y)); row <= lastRow; row += 1) {
      if (!crossings.has(row)) crossings.set(row, []);
      crossings.get(row).push(firstPixel(x + Math.ceil(((4 * row + 2 - y) * (endX - x)) / (endY - y))));
    }
  });
  const spans = [];
  for (const [row, columns] of crossings) {
    columns.sort((one, other) => one - other);
    for (let at = 0; at < columns.length; at += 2) addSpan(spans, row, columns[at], columns[at + 1], width);
  }
  return spans;
}

/** The black regions, connected by sides, that do not touch the picture's border; 0 stands for what does. */
function holeSpans({ pixels, width, height }) {
  const runs = [];
  const parents = [0];
  const root = (label) => {
    let at = label;
    while (parents[at] !== at) at = parents[at] = parents[parents[at]];
    return at;
  };
  let above = 0;
  let aboveEnd = 0;
  for (let row = 0; row < height; row += 1) {
    const rowStart = row * width;
    const rowStop = rowStart + width;
    const begin = runs.length;
    let before = above;
    for (let at = rowStart; at < rowStop; at += 1) {
      if (pixels[at]) continue;
      let stop = at + 1;
      while (stop < rowStop && !pixels[stop]) stop += 1;
      const touches = row === 0 || row === height - 1 || at === rowStart || stop === rowStop;
      let label = touches ? 0 : parents.push(parents.length) - 1;
      while (before < aboveEnd && runs[before + 1] + width <= at) before += 3;
      for (let other = before; other < aboveEnd && runs[other] + width < stop; other += 3) {
        const [one, two] = [root(label), root(runs[other + 2])];
        label = Math.min(one, two);
        parents[Math.max(one, two)] = label;
      }
      runs.push(at, stop, label);
      at = stop;
    }
    above = begin;
    aboveEnd = runs.length;
  }
  const spans = [];
  for (let at = 0; at < runs.length; at += 3) if (root(runs[at + 2])) spans.push(runs[at], runs[at + 1]);
  return spans;
}

function addSpan(spans, row, first, behind, width) {
  const start = Math.max(0, first);
  const stop = Math.min(width, behind);
  if (start < stop) spans.push(row * width + start, row * width + stop);
}

function boxOfSpans(spans, width) {
  let box = null;
  for (let at = 0; at < spans.length; at += 2) {
    const end = spans[at + 1] - 1;
    const left = spans[at] % width;
    box = boxAround(box, { left, top: Math.floor(spans[at] / width), right: (end % width) + 1, bottom: Math.floor(end / width) + 1 });
  }
  return box;
}

/** The first pixel whose center is not before a place. */
function firstPixel(place) {
  return Math.ceil((place - 2) / 4);
}

/** The last pixel whose center is not behind a place. */
function lastPixel(place) {
  return Math.floor((place - 2) / 4);
}

/** The first and last whole number n with low <= factor * n <= high. */
function wholeWithin(low, factor, high) {
  if (factor === 0) return low <= 0 && high >= 0 ? [-Infinity, Infinity] : [Infinity, -Infinity];
  return factor > 0 ? [Math.ceil(low / factor), Math.floor(high / factor)] : [Math.ceil(high / factor), Math.floor(low / factor)];
}

function bothOf(one, other) {
  const first = Math.max(one[0], other[0]);
  const last = Math.min(one[1], other[1]);
  return first > last ? [Infinity, -Infinity] : [first, last];
}

/** How far a disk reaches to each side, at a distance below its middle. */
function diskReach(below, radius) {
  const square = radius * radius - below * below;
  return square < 0 ? -Infinity : Math.floor(Math.sqrt(square));
}

function floorOfRoot(square) {
  let root = BigInt(Math.floor(Math.sqrt(Number(square))));
  while (root * root > square) root -= 1n;
  while ((root + 1n) * (root + 1n) <= square) root += 1n;
  return Number(root);
}
