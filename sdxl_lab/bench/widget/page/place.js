// Where a picture lies in a frame that shows it, zoomed and moved as a Looking says, and its mask drawn there.

const MOST_SAMPLES = 3;  // across and down each pixel of the screen, where it shows many pixels of the mask

/** The place of a picture of `size` in a `canvas` of its own pixels, which a frame shows: `x = left + scale * (x in the picture)`, in CSS pixels. */
export function pictureIn(frame, { width, height, left, top }, view) {
  const box = frame.getBoundingClientRect();
  const scale = (box.width * view.zoom) / width;
  const [fromX, spanX, fromY, spanY] = ["from-x", "span-x", "from-y", "span-y"].map((name) => Number(frame.style.getPropertyValue(`--${name}`)));
  const [middleX, middleY] = [middleOf(fromX + view.x * spanX, view.zoom), middleOf(fromY + view.y * spanY, view.zoom)];
  return { box, scale, left: box.width / 2 + (left - middleX * width) * scale, top: box.height / 2 + (top - middleY * height) * scale };
}

/** As looking.css keeps it, so that nothing but the frame's content is shown. */
function middleOf(share, zoom) {
  return Math.min(Math.max(share, 0.5 / zoom), 1 - 0.5 / zoom);
}

/** A point of the screen in pixels of the picture, in whole quarters. */
export function pointAt({ box, scale, left, top }, { clientX, clientY }) {
  return [(clientX - box.left - left) / scale, (clientY - box.top - top) / scale].map((length) => Math.round(4 * length) / 4);
}

/** Draw the part of a mask that lies in a box, or all of it, in a color of [red, green, blue, opacity]. */
export function drawTint(context, raster, place, color, box = null) {
  const { canvas } = context;
  const ratio = canvas.width / place.box.width;
  const columns = samplesOf(box?.left, box?.right, place.left, place.scale, ratio, canvas.width, raster.width);
  const rows = samplesOf(box?.top, box?.bottom, place.top, place.scale, ratio, canvas.height, raster.height);
  if (columns.count <= 0 || rows.count <= 0) return;
  const image = context.createImageData(columns.count, rows.count);
  const points = new Uint32Array(image.data.buffer);
  const each = columns.each * rows.each;
  const shades = Uint32Array.from({ length: each + 1 }, (_, found) => shade(color, found / each));
  for (let row = 0, at = 0; row < rows.count; row += 1) {
    for (let column = 0; column < columns.count; column += 1, at += 1) points[at] = shades[whitesAt(raster, rows, row, columns, column)];
  }
  context.putImageData(image, columns.first, rows.first);
}

function whitesAt({ pixels, width }, rows, row, columns, column) {
  let found = 0;
  for (let down = row * rows.each; down < (row + 1) * rows.each; down += 1) {
    const start = rows.at[down];
    if (start < 0) continue;
    for (let across = column * columns.each; across < (column + 1) * columns.each; across += 1) {
      if (columns.at[across] >= 0) found += pixels[start * width + columns.at[across]];
    }
  }
  return found;
}

/** Along one side: which pixels of the screen show a range of the mask, and which pixels of the mask each of them looks at; -1 lies outside. */
function samplesOf(from, to, start, scale, ratio, length, most) {
  const first = from === undefined ? 0 : Math.max(0, Math.floor((start + from * scale) * ratio) - 1);
  const behind = to === undefined ? length : Math.min(length, Math.ceil((start + to * scale) * ratio) + 1);
  const each = Math.min(MOST_SAMPLES, Math.max(1, Math.ceil(1 / (scale * ratio) - 0.01)));
  const count = behind - first;
  const at = Int32Array.from({ length: Math.max(0, count * each) }, (_, index) => {
    const place = Math.floor(((first + (index + 0.5) / each) / ratio - start) / scale);
    return place >= 0 && place < most ? place : -1;
  });
  return { first, count, each, at };
}

/** A color as it stands in the memory of an image. */
function shade([red, green, blue, opacity], share) {
  return ((Math.round(255 * opacity * share) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
