// The border of a mask, as lines between pixels.

const MOST_BORDER_PX = 2048;

/** A mask's pixels, from a picture in which white is on: `{ width, height, bits }`; larger ones are scaled down. */
export async function maskBits(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const scale = Math.min(1, MOST_BORDER_PX / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight].map((side) => Math.max(1, Math.round(side * scale)));
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, width, height);
  const colors = context.getImageData(0, 0, width, height).data;
  return { width, height, bits: Uint8Array.from({ length: width * height }, (_, index) => (colors[index * 4] > 127 ? 1 : 0)) };
}

/** The lines between pixels that are on and pixels that are off, as the data of an SVG path; beyond the edges all is off. */
export function borderPath({ width, height, bits }) {
  const isOn = (x, y) => (x >= 0 && y >= 0 && x < width && y < height ? bits[y * width + x] : 0);
  const lines = [];
  const trace = (rows, length, isBorder, write) => {
    for (let row = 0; row <= rows; row++) {
      let start = -1;
      for (let at = 0; at <= length; at++) {
        const goesOn = at < length && isBorder(row, at);
        if (goesOn && start < 0) start = at;
        if (!goesOn && start >= 0) {
          lines.push(write(row, start, at - start));
          start = -1;
        }
      }
    }
  };
  trace(height, width, (y, x) => isOn(x, y) !== isOn(x, y - 1), (y, x, length) => `M${x} ${y}h${length}`);
  trace(width, height, (x, y) => isOn(x, y) !== isOn(x - 1, y), (x, y, length) => `M${x} ${y}v${length}`);
  return lines.join("");
}
