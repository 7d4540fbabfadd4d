/**
 * Waveforms of what this page opened itself: the server cannot draw what it cannot hear, and nothing drawn leaves the page.
 *
 * A long recording is drawn from the pieces that <audio> asks for, when it asks for them: nothing more is fetched, and no
 * more than two pieces are in memory.
 *
 * @typedef {Float32Array[]} Peaks  one or two channels of low, high, low, high..., from -1 to 1
 */

const POINTS = 1000;
const decode = (bytes) => new OfflineAudioContext(1, 1, 8000).decodeAudioData(bytes.buffer);

/** Of a whole recording. @param {Blob} blob @returns {Promise<Peaks>} @throws what plays need not decode here */
export async function peaksOf(blob) {
  const peaks = [];
  add(peaks, await decode(new Uint8Array(await blob.arrayBuffer())), 0, 1);
  return peaks;
}

/** Of a long recording, piece by piece. */
export class GrowingPeaks {
  #peaks = [];
  #cut;
  #tell;
  #drawing = Promise.resolve();

  /**
   * @param {Uint8Array} start some first bytes of the recording, 4 KiB are enough
   * @param {number} size of the recording in bytes
   * @param {(peaks: Peaks) => void} tell called whenever there is more to draw
   */
  constructor(start, size, tell) {
    this.#cut = cutter(start, size);
    this.#tell = tell;
  }

  /** Take a piece that begins at this byte; resolves once the one before is drawn. What does not decode is not drawn. */
  async add(at, piece) {
    await this.#drawing;
    const part = this.#cut(at, piece);
    if (!part) return;
    this.#drawing = decode(part.bytes).then((sound) => {
      add(this.#peaks, sound, part.from, part.to);
      this.#tell(this.#peaks);
    }).catch(() => {});
  }
}

/** How a piece becomes a file of its own, and where in the recording it lies (from 0 to 1); null: it has no sound. */
function cutter(start, size) {
  const riff = ["RIFF", "RF64"].includes(name(start, 0));
  if (!riff) return (at, piece) => ({ bytes: piece.slice(), from: at / size, to: (at + piece.length) / size });
  const { head, block, first, end } = wavFacts(start, size);
  return (at, piece) => {
    const from = first + Math.max(0, Math.ceil((at - first) / block)) * block;
    const to = first + Math.floor((Math.min(at + piece.length, end) - first) / block) * block;
    if (!(from < to)) return null; // NaN included: a header that is not understood
    const bytes = new Uint8Array(head.length + to - from);
    bytes.set(head);
    bytes.set(piece.subarray(from - at, to - at), head.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(4, bytes.length - 8, true);
    view.setUint32(head.length - 4, to - from, true);
    return { bytes, from: (from - first) / (end - first), to: (to - first) / (end - first) };
  };
}

/** A head for WAVs of the same format, and where the samples lie. Source: Multimedia Programming Interface 1.0, "WAVE". */
function wavFacts(bytes, size) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let format = new Uint8Array();
  for (let at = 12; at + 8 <= bytes.length; ) {
    const [kind, length] = [name(bytes, at), view.getUint32(at + 4, true)];
    const body = at + 8;
    if (kind === "fmt ") format = bytes.slice(at, body + length);
    if (kind === "data" && format.length >= 24) {
      const text = (letters) => new TextEncoder().encode(letters);
      const head = [...text("RIFF    WAVE"), ...format, ...text("data    ")];
      return { head, block: format[20] + 256 * format[21], first: body, end: Math.min(body + length, size) };
    }
    at = body + length + (length % 2);
  }
  return {};
}

const name = (bytes, at) => String.fromCharCode(...bytes.subarray(at, at + 4));

/** Widen the peaks between two places of the recording by what sounds there. */
function add(peaks, sound, from, to) {
  for (let channel = 0; channel < Math.min(2, sound.numberOfChannels); channel++) {
    const samples = sound.getChannelData(channel);
    const drawn = (peaks[channel] ??= new Float32Array(2 * POINTS));
    const step = ((to - from) * POINTS) / samples.length;
    for (let n = 0; n < samples.length; n++) {
      const low = 2 * Math.min(POINTS - 1, Math.floor(from * POINTS + n * step));
      if (samples[n] < drawn[low]) drawn[low] = samples[n];
      if (samples[n] > drawn[low + 1]) drawn[low + 1] = samples[n];
    }
  }
}
