/**
 * Group 3 and Group 4, as fax machines encode pages: runs of white and black, or where a line differs from the one above.
 *
 * Source: ITU-T T.4 (tables 2, 3a and 3b: runs; 4.2: two dimensions), T.6; TIFF 6.0 sections 10 and 11.
 */

// By colour: the codes of runs of 0 to 63, then of 64, 128, ... 1728; those beyond are the same for both.
const WHITE =
  "00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010 101011 " +
  "0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 00000011 00011010 " +
  "00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 00101011 00101100 00101101 " +
  "00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 01011000 01011001 01011010 " +
  "01011011 01001010 01001011 00110010 00110011 00110100 " +
  "11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 011010010 " +
  "011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 010011000 010011001 " +
  "010011010 011000 010011011";
const BLACK =
  "0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000 0000010111 " +
  "0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 00000011000 " +
  "000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 000001101011 000011010010 " +
  "000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 000001101101 000011011010 000011011011 " +
  "000001010100 000001010101 000001010110 000001010111 000001100100 000001100101 000001010010 000001010011 000000100100 " +
  "000000110111 000000111000 000000100111 000000101000 000001011000 000001011001 000000101011 000000101100 000001011010 " +
  "000001100110 000001100111 " +
  "0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100 0000001101101 " +
  "0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100 0000001110101 " +
  "0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 0000001011010 0000001011011 " +
  "0000001100100 0000001100101";
const LONG =
  "00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 000000010111 " +
  "000000011100 000000011101 000000011110 000000011111"; // 1792 to 2560
const [PASS, HORIZONTAL] = [100, 101];
const MODES = { 1: 0, "011": 1, "000011": 2, "0000011": 3, "010": -1, "000010": -2, "0000010": -3, "0001": PASS, "001": HORIZONTAL };

const LONGEST = 13; // bits of a code
const NONE = -128;

/** A code with a 1 before it is its place. */
function table(codes) {
  const made = new Int16Array(2 << LONGEST).fill(NONE);
  for (const [code, value] of codes) made[parseInt(`1${code}`, 2)] = value;
  return made;
}
const runs = (codes) =>
  table([...`${codes} ${LONG}`.split(" ").entries()].map(([at, code]) => [code, at < 64 ? at : (at - 63) * 64]));
const RUNS = [runs(WHITE), runs(BLACK)];
const MODE = table(Object.entries(MODES));

class Damaged extends Error {}

class Bits {
  at = 0;
  constructor(bytes) {
    this.bytes = bytes;
    this.end = bytes.length * 8;
  }

  bit() {
    if (this.at >= this.end) throw new Damaged();
    const bit = (this.bytes[this.at >> 3] >> (7 - (this.at & 7))) & 1;
    this.at++;
    return bit;
  }

  code(table) {
    for (let place = 1, length = 0; length < LONGEST; length++) {
      place = (place << 1) | this.bit();
      if (table[place] !== NONE) return table[place];
    }
    throw new Damaged();
  }

  run(colour) {
    for (let sum = 0; ; ) {
      const length = this.code(RUNS[colour]);
      sum += length;
      if (length < 64) return sum;
    }
  }

  /** Pass over the end of a line, with the zeros that fill it; false, and nothing passed over, where there is none. */
  endOfLine() {
    let at = this.at;
    while (at < this.end && !((this.bytes[at >> 3] >> (7 - (at & 7))) & 1)) at++;
    if (at >= this.end || at - this.at < 11) return false;
    this.at = at + 1;
    return true;
  }

  align() {
    this.at = (this.at + 7) & ~7;
  }
}

/**
 * @param {Uint8Array} bytes the highest bit first
 * @param {object} how
 * @param {number} how.width
 * @param {number} how.height lines; what is missing stays white
 * @param {"runs"|"t4"|"t4-2d"|"t6"} how.code runs: without ends of lines, each from a byte of its own
 * @param {boolean} [how.aligned] each line begins with a byte
 * @param {(line: number, from: number, to: number) => void} black called for each black run
 * @returns {boolean} whether all of it was decoded
 */
export function decode(bytes, { width, height, code, aligned = code === "runs" }, black) {
  const bits = new Bits(bytes);
  let above = [];
  let whole = true;
  for (let line = 0; line < height; line++) {
    try {
      if (aligned) bits.align();
      let flat = code !== "t6";
      if (code.startsWith("t4") && bits.endOfLine()) {
        if (code === "t4-2d") flat = bits.bit() === 1;
        const { at } = bits;
        if (bits.endOfLine()) return whole; // two in a row end the page
        bits.at = at;
      } else if (code === "t6") {
        const { at } = bits;
        if (bits.endOfLine()) return whole;
        bits.at = at;
      }
      above = flat ? flatLine(bits, width) : bentLine(bits, width, above);
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      whole = false;
      // As a machine does: the line above once more, and on from the next end of a line.
      if (!code.startsWith("t4") || !toNextLine(bits)) return false;
    }
    for (let at = 0; at < above.length; at += 2) {
      const to = Math.min(width, above[at + 1] ?? width);
      if (above[at] < to) black(line, above[at], to);
    }
  }
  return whole;
}

function toNextLine(bits) {
  for (bits.at++; bits.at < bits.end; bits.at++) {
    const { at } = bits;
    if (bits.endOfLine()) {
      bits.at = at;
      return true;
    }
  }
  return false;
}

/** The places at which a line changes its colour, of runs alone. */
function flatLine(bits, width) {
  const changes = [];
  for (let at = 0, colour = 0; at < width; colour ^= 1) changes.push((at += bits.run(colour)));
  return changes;
}

/** The same, of where it differs from the line above. */
function bentLine(bits, width, above) {
  const changes = [];
  let place = 0; // in `above`
  for (let at = -1, colour = 0; at < width; ) {
    // The first change above to the other colour, to the right of here.
    place = Math.max(0, place - 2) & ~1 | colour;
    while (place < above.length && above[place] <= at) place += 2;
    const mode = bits.code(MODE);
    if (mode === PASS) {
      at = above[place + 1] ?? width;
    } else if (mode === HORIZONTAL) {
      const first = Math.max(0, at) + bits.run(colour);
      changes.push(first, (at = first + bits.run(colour ^ 1)));
    } else {
      const to = (above[place] ?? width) + mode;
      if (to < Math.max(0, at)) throw new Damaged();
      changes.push((at = to));
      colour ^= 1;
    }
  }
  return changes;
}
