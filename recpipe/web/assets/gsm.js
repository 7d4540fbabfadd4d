/**
 * GSM 06.10 full rate in WAV (`wav49`), decoded in the page: Asterisk writes it, no browser plays it, and of a sealed
 * recording nobody else can make anything else.
 *
 * Source: ETSI EN 300 961 (GSM 06.10) sections 5.3.1 to 5.3.7, in the 16-bit arithmetic of the standard; the packing of
 * two frames into 65 bytes is Microsoft's (WAVE_FORMAT_GSM610, RFC 2361).
 */

const GSM_BLOCK = 65; // bytes: two frames of 260 bits
const FRAME = 160; // samples
const GSM610 = 0x31;

const FAC = [18431, 20479, 22527, 24575, 26623, 28671, 30719, 32767];
const GAIN = [3277, 11469, 21299, 32767];
const LAR_BITS = [6, 6, 5, 5, 4, 4, 3, 3];
const LAR_LEAST = [-32, -32, -16, -16, -8, -8, -4, -4];
const LAR_SHIFT = [0, 0, 2048, -2560, 94, -1792, -341, -1144];
const LAR_SCALE = [13107, 13107, 13107, 13107, 19223, 17476, 31454, 29708];
const ZONES = [[0, 13], [13, 27], [27, 40], [40, 160]];

const clip = (value) => (value > 32767 ? 32767 : value < -32768 ? -32768 : value);
const mult = (a, b) => clip((a * b + 16384) >> 15);
const shiftLeft = (value, by) => (by < 0 ? value >> -by : (value << by << 16) >> 16);

/**
 * A recording as every browser plays it: what is no GSM stays as it is.
 * @param {Blob} blob
 * @returns {Promise<Blob>}
 */
export async function playableOf(blob) {
  const head = new DataView(await blob.slice(0, 65536).arrayBuffer());
  const found = head.byteLength > 44 && word(head, 0) === "RIFF" && word(head, 8) === "WAVE" ? chunksOf(head) : {};
  if (found.format !== GSM610 || !found.data) return blob;
  const { at, size } = found.data;
  const samples = decode(new Uint8Array(await blob.slice(at, at + size).arrayBuffer()));
  return new Blob([wavHead(samples.length, found.rate), samples], { type: "audio/wav" });
}

const word = (view, at) => String.fromCharCode(...new Uint8Array(view.buffer, at, 4));

function chunksOf(view) {
  const found = {};
  for (let at = 12; at + 8 <= view.byteLength && !found.data; ) {
    const size = view.getUint32(at + 4, true);
    if (word(view, at) === "fmt " && at + 16 <= view.byteLength) {
      found.format = view.getUint16(at + 8, true);
      found.rate = view.getUint32(at + 12, true);
    } else if (word(view, at) === "data") {
      found.data = { at: at + 8, size };
    }
    at += 8 + size + (size % 2);
  }
  return found;
}

function wavHead(samples, rate) {
  const view = new DataView(new ArrayBuffer(44));
  const put = (at, text) => [...text].forEach((letter, n) => view.setUint8(at + n, letter.charCodeAt(0)));
  put(0, "RIFF");
  view.setUint32(4, 36 + samples * 2, true);
  put(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  put(36, "data");
  view.setUint32(40, samples * 2, true);
  return view;
}

/** @param {Uint8Array} blocks @returns {Int16Array} samples; of a block that is cut off none */
export function decode(blocks) {
  const count = Math.floor(blocks.length / GSM_BLOCK) * 2;
  const samples = new Int16Array(count * FRAME);
  const frame = decoder();
  for (let block = 0; block < count / 2; block++) {
    const read = fieldsOf(blocks, block * GSM_BLOCK);
    frame(read, samples, block * 2 * FRAME);
    frame(read, samples, (block * 2 + 1) * FRAME);
  }
  return samples;
}

/** Fields from a block, the lowest bit first. */
function fieldsOf(bytes, start) {
  let place = start * 8;
  return (count) => {
    let value = 0;
    for (let bit = 0; bit < count; bit++, place++) value |= ((bytes[place >> 3] >> (place & 7)) & 1) << bit;
    return value;
  };
}

/** One voice: what a frame sounds like depends on those before it. */
function decoder() {
  const past = new Int16Array(120 + FRAME); // of the long term filter
  const v = new Int16Array(9);
  let before = new Int16Array(8); // log area ratios
  let lag = 40;
  let last = 0; // of the de-emphasis

  return (read, samples, at) => {
    const ratios = Int16Array.from(LAR_BITS, (bits, n) => {
      const coded = clip(read(bits) + LAR_LEAST[n]) << 10;
      const scaled = mult(LAR_SCALE[n], clip(coded - (LAR_SHIFT[n] << 1)));
      return clip(scaled * 2);
    });
    for (let part = 0; part < 4; part++) {
      const nc = read(7);
      const gain = GAIN[read(2)];
      const pulses = excitation(read);
      if (nc >= 40 && nc <= 120) lag = nc;
      const base = 120 + part * 40;
      for (let n = 0; n < 40; n++) past[base + n] = clip(pulses[n] + mult(gain, past[base + n - lag]));
    }
    for (const [zone, [from, to]] of ZONES.entries()) {
      const reflections = ratios.map((now, n) => reflection(blend(zone, before[n], now)));
      for (let n = from; n < to; n++) {
        let value = past[120 + n];
        for (let i = 7; i >= 0; i--) {
          value = clip(value - mult(reflections[i], v[i]));
          v[i + 1] = clip(v[i] + mult(reflections[i], value));
        }
        v[0] = value;
        last = clip(value + mult(last, 28180));
        samples[at + n] = clip(last * 2) & 0xfff8;
      }
    }
    before = ratios;
    past.copyWithin(0, FRAME);
  };
}

/** 40 samples of the regular pulse excitation. */
function excitation(read) {
  const grid = read(2);
  const coded = read(6);
  let exponent = coded > 15 ? (coded >> 3) - 1 : 0;
  let mantissa = coded - (exponent << 3);
  if (mantissa === 0) {
    exponent = -4;
    mantissa = 7;
  } else {
    for (; mantissa <= 7; exponent--) mantissa = (mantissa << 1) | 1;
    mantissa -= 8;
  }
  const by = 6 - exponent;
  const half = shiftLeft(1, by - 1);
  const pulses = new Int16Array(40);
  for (let n = 0; n < 13; n++) {
    const level = ((read(3) << 1) - 7) << 12;
    pulses[grid + 3 * n] = clip(mult(FAC[mantissa], level) + half) >> by;
  }
  return pulses;
}

function blend(zone, before, now) {
  if (zone === 0) return clip(clip((before >> 2) + (now >> 2)) + (before >> 1));
  if (zone === 1) return clip((before >> 1) + (now >> 1));
  if (zone === 2) return clip(clip((before >> 2) + (now >> 2)) + (now >> 1));
  return now;
}

function reflection(ratio) {
  const size = ratio === -32768 ? 32767 : Math.abs(ratio);
  const value = size < 11059 ? size << 1 : size < 20070 ? size + 11059 : clip((size >> 2) + 26112);
  return ratio < 0 ? -value : value;
}
