/**
 * The pages of a fax, opened in the page that has the key: TIFF in Group 3 or Group 4, and PDF that holds such pages, as
 * tiff2pdf makes it for PBXs. Other PDFs are for a program that opens PDF.
 *
 * Source: TIFF 6.0; ISO 32000-1 7.3.8 (streams), 7.4.6 (CCITTFaxDecode).
 */

import { decode } from "./ccitt.js";
import { EnvelopeError } from "./envelope-base.js";
import { t } from "./words.js";

const MOST_PIXELS = 64 * 1024 * 1024; // as the server counts them
const MOST_PAGES = 1000;
const [WIDTH, HEIGHT, COMPRESSION, INVERTED, FILL_ORDER, OFFSETS, COUNTS, ROWS, ACROSS, DOWN, T4_OPTIONS] =
  [256, 257, 259, 262, 266, 273, 279, 278, 282, 283, 292];
const SIZES = { 1: 1, 3: 2, 4: 4, 5: 8 };

export class FaxUnreadable extends EnvelopeError {
  constructor(why) {
    super("{why} Save it decrypted, and open it with another program.", { why: t(why) });
  }
}

/**
 * @typedef {{width: number, height: number, ratio: number, paint: (black: (line: number, from: number, to: number) => void,
 *   whole?: boolean) => boolean}} FaxPage  ratio: dots across to dots down in a length; paint says whether all was decoded
 * @param {Uint8Array} bytes
 * @returns {FaxPage[]}
 * @throws {FaxUnreadable}
 */
export function pagesOf(bytes) {
  const start = String.fromCharCode(...bytes.subarray(0, 4));
  const pages = start === "%PDF" ? pdfPages(bytes) : ["II*\0", "MM\0*"].includes(start) ? tiffPages(bytes) : [];
  if (!pages.length) throw new FaxUnreadable("This is neither TIFF nor a PDF of pages as a fax has them.");
  for (const { width, height } of pages) {
    if (!(width > 0 && height > 0 && width * height <= MOST_PIXELS)) throw new FaxUnreadable("A page is larger than a fax is.");
  }
  return pages;
}

// --- TIFF -----------------------------------------------------------------------------------------------------

function tiffPages(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const little = bytes[0] === 0x49;
  const pages = [];
  const seen = new Set();
  try {
    for (let at = view.getUint32(4, little); at; ) {
      if (seen.has(at) || pages.length >= MOST_PAGES) throw new RangeError();
      seen.add(at);
      const count = view.getUint16(at, little);
      const tags = new Map();
      for (let entry = at + 2; entry < at + 2 + 12 * count; entry += 12) tags.set(view.getUint16(entry, little), entry);
      pages.push(tiffPage(bytes, (tag, otherwise) => values(view, little, tags.get(tag), otherwise)));
      at = view.getUint32(at + 2 + 12 * count, little);
    }
  } catch (error) {
    if (error instanceof RangeError) throw new FaxUnreadable("This fax is damaged.");
    throw error;
  }
  return pages;
}

/** The numbers of one entry. */
function values(view, little, entry, otherwise) {
  if (entry === undefined) return [otherwise];
  const kind = view.getUint16(entry + 2, little);
  const count = view.getUint32(entry + 4, little);
  const size = SIZES[kind];
  if (!size || count > 65536) throw new RangeError();
  const start = size * count <= 4 ? entry + 8 : view.getUint32(entry + 8, little);
  const one = {
    1: (at) => view.getUint8(at),
    3: (at) => view.getUint16(at, little),
    4: (at) => view.getUint32(at, little),
    5: (at) => view.getUint32(at, little) / (view.getUint32(at + 4, little) || 1),
  }[kind];
  return Array.from({ length: count }, (_, n) => one(start + n * size));
}

function tiffPage(bytes, get) {
  const [width, height] = [get(WIDTH, 0)[0], get(HEIGHT, 0)[0]];
  const code = { 2: "runs", 3: get(T4_OPTIONS, 0)[0] & 1 ? "t4-2d" : "t4", 4: "t6" }[get(COMPRESSION, 1)[0]];
  if (!code) throw new FaxUnreadable("A page of this TIFF is neither Group 3 nor Group 4.");
  const [offsets, counts] = [get(OFFSETS, 0), get(COUNTS, 0)];
  const rows = Math.max(1, Math.min(height, get(ROWS, height)[0]));
  const strip = (n) => {
    const part = bytes.subarray(offsets[n], offsets[n] + counts[n]);
    return get(FILL_ORDER, 1)[0] === 2 ? part.map(mirrored) : part;
  };
  return page(width, height, get(ACROSS, 1)[0] / get(DOWN, 1)[0], get(INVERTED, 0)[0] === 1, (black) => {
    let whole = true;
    for (let n = 0; n < offsets.length && n * rows < height; n++) {
      const first = n * rows;
      const how = { width, height: Math.min(rows, height - first), code };
      whole = decode(strip(n), how, (line, from, to) => black(first + line, from, to)) && whole;
    }
    return whole;
  });
}

/** A byte with its bits the other way round. */
const mirrored = (byte) => parseInt(byte.toString(2).padStart(8, "0").split("").reverse().join(""), 2);

/** A page, whose runs are of white where it is inverted. */
function page(width, height, ratio, inverted, runs) {
  const paint = (black) => {
    if (!inverted) return runs(black);
    const ends = new Uint32Array(height);
    const whole = runs((line, from, to) => {
      if (from > ends[line]) black(line, ends[line], from);
      ends[line] = to;
    });
    for (let line = 0; line < height; line++) if (ends[line] < width) black(line, ends[line], width);
    return whole;
  };
  return { width, height, ratio: Number.isFinite(ratio) ? Math.min(5, Math.max(0.2, ratio)) : 1, paint };
}

// --- PDF ------------------------------------------------------------------------------------------------------

function pdfPages(bytes) {
  const text = new TextDecoder("latin1").decode(bytes); // a character a byte
  const pages = [];
  for (const { index } of text.matchAll(/\/CCITTFaxDecode\b/g)) {
    const [from, stream] = [text.lastIndexOf(" obj", index), text.indexOf("stream", index)];
    const said = text.slice(from, stream);
    if (from < 0 || stream < 0 || said.length > 4000) continue;
    const number = (name, otherwise) => Number(new RegExp(`/${name}\\s+(-?\\d+)`).exec(said)?.[1] ?? otherwise);
    const begins = stream + (text[stream + 6] === "\r" ? 8 : 7);
    const length = lengthOf(text, said);
    const [width, height, k] = [number("Columns", number("Width", 1728)), number("Height", 0), number("K", 0)];
    const code = k < 0 ? "t6" : k > 0 ? "t4-2d" : "t4";
    const how = { width, height, code, aligned: /\/EncodedByteAlign\s+true/.test(said) };
    const inverted = /\/BlackIs1\s+true/.test(said) !== /\/Decode\s*\[\s*1\s+0\s*\]/.test(said);
    const strip = bytes.subarray(begins, begins + length);
    pages.push({ width, height, page: page(width, height, 1, inverted, (black) => decode(strip, how, black)) });
  }
  // A page of a PDF has its own size; an image is stretched over it.
  const boxes = [...text.matchAll(/\/MediaBox\s*\[\s*[\d.]+\s+[\d.]+\s+([\d.]+)\s+([\d.]+)\s*\]/g)];
  if ([...text.matchAll(/\/Type\s*\/Page\b/g)].length !== pages.length) return [];
  return pages.map(({ width, height, page: one }, n) => {
    const [, wide, high] = boxes[n] ?? boxes.at(-1) ?? [0, width, height];
    return { ...one, ratio: Math.min(5, Math.max(0.2, (high / wide) * (width / height))) || 1 };
  });
}

function lengthOf(text, said) {
  const [, number, reference] = /\/Length\s+(\d+)(\s+\d+\s+R)?/.exec(said) ?? [];
  if (!reference) return Number(number ?? 0);
  return Number(new RegExp(`(?:^|\\s)${number}\\s+\\d+\\s+obj\\s+(\\d+)`).exec(text)?.[1] ?? 0);
}
