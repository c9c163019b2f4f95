// Digests, and the one JSON that plain values have. `crypto.subtle` is missing where a page comes from another machine without https.

const CONSTANTS = new Uint32Array(64);
const START = new Uint32Array(8);

// FIPS 180-4: the first 32 bits of the fractional parts of the square and cube roots of the first primes.
for (let candidate = 2, found = 0; found < 64; candidate += 1) {
  if ([...CONSTANTS.keys()].slice(2).some((divisor) => divisor * divisor <= candidate && candidate % divisor === 0)) continue;
  if (found < 8) START[found] = Math.floor((Math.sqrt(candidate) % 1) * 2 ** 32);
  CONSTANTS[found] = Math.floor((Math.cbrt(candidate) % 1) * 2 ** 32);
  found += 1;
}

/** The sha256 of a text's UTF-8, hex. */
export function sha256(text) {
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, bytes.length * 8);
  const state = Uint32Array.from(START);
  const words = new Uint32Array(64);
  const turned = (word, by) => (word >>> by) | (word << (32 - by));
  for (let block = 0; block < padded.length; block += 64) {
    for (let index = 0; index < 16; index += 1) words[index] = view.getUint32(block + index * 4);
    for (let index = 16; index < 64; index += 1) {
      const [late, early] = [words[index - 2], words[index - 15]];
      const first = turned(early, 7) ^ turned(early, 18) ^ (early >>> 3);
      words[index] = words[index - 16] + first + words[index - 7] + (turned(late, 17) ^ turned(late, 19) ^ (late >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let index = 0; index < 64; index += 1) {
      const one = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + CONSTANTS[index] + words[index]) | 0;
      const two = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [a, b, c, d, e, f, g, h] = [(one + two) | 0, a, b, c, (d + one) | 0, e, f, g];
    }
    for (const [index, word] of [a, b, c, d, e, f, g, h].entries()) state[index] += word;
  }
  return [...state].map((word) => word.toString(16).padStart(8, "0")).join("");
}

/** The JSON without spaces whose keys are sorted, as `canonical` in trials.py writes it. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}
