/**
 * Where the sound of a recording comes from: the server, for plain ones; this page itself, for sealed ones.
 *
 * A sealed recording up to WHOLE_LIMIT is fetched, opened and compared with its SHA-256 before it may sound. A longer one
 * is opened piece by piece as <audio> asks for it: the worker passes the question on to this page, which has the key,
 * fetches the ciphertext that is needed and answers. The key never leaves the page.
 */

import { toHex } from "./envelope-base.js";
import { EnvelopeDamaged, EnvelopeError, RangeDecryptor, fetchHeader, unwrapKey } from "./envelope.js";
import { playableOf } from "./gsm.js";
import { Sha256 } from "./sha256.js";
import { policy } from "./trusted.js";
import { GrowingPeaks, peaksOf } from "./waveform.js";
import { t } from "./words.js";

export const WHOLE_LIMIT = 8 * 1024 * 1024;
const PIECE = 2 * 1024 * 1024; // saved at a time; a multiple of the AES block

/** What the server or the network did not give. */
export class NotFetched extends EnvelopeError {}
/** It opens, and is not what was recorded. */
export class Altered extends EnvelopeError {
  constructor() {
    super(
      "This recording was damaged or altered: its SHA-256 is not the one that was noted when it was recorded. " +
        "It is not played. Download it again; if that does not help, tell your administrator.",
    );
  }
}

/** Facts of a row of the list. */
export function factsOf(row) {
  const { recording, sealed, kind, source, size, contentSize, sha256, duration, name, masked = "" } = row.dataset;
  return {
    id: recording, sealed: sealed === "yes", kind, size: Number(size), contentSize: Number(contentSize), sha256,
    seconds: Number(duration) / 1000, name, url: source,
    masked: masked.split(" ").filter(Boolean).map((part) => part.split("-").map(Number)),
  };
}

/** @returns {(start: number, end: number) => Promise<Uint8Array>} bytes of the stored file */
function rangesOf(facts) {
  return async (start, end) => {
    let answer;
    try {
      answer = await fetch(facts.url, { headers: { range: `bytes=${start}-${end - 1}` } });
    } catch {
      throw new NotFetched("The server or the network is away. Try again.");
    }
    if (answer.redirected || (answer.status !== 206 && answer.status !== 200)) throw new NotFetched(await refusalOf(answer));
    const bytes = new Uint8Array(await answer.arrayBuffer());
    return answer.status === 206 ? bytes : bytes.subarray(start, end);
  };
}

/** Why a recording is not handed out, for a person. */
export async function refusalOf(answer) {
  if (answer.redirected || answer.status === 401) return t("You were signed out. Reload the page and sign in again.");
  if (answer.status === 403) return t("This account is not allowed to play this recording.");
  if (answer.status === 404) return t("This recording is not there any more.");
  return t("The server did not hand out the recording ({status}). Try again, or tell your administrator.", { status: answer.status });
}

/** One sealed recording, opened with a key. `source` is for <audio>, `save` gives everything. */
export class Sealed {
  #facts;
  #parts;
  #url = "";
  #token = "";
  verified = false;

  /** @throws {EnvelopeError} wrong key included: before anything sounds */
  static async open(facts, privateKey) {
    const fetchRange = rangesOf(facts);
    const header = await fetchHeader(fetchRange, facts.size);
    return new Sealed(facts, new RangeDecryptor(header, await unwrapKey(header, privateKey), fetchRange));
  }

  constructor(facts, parts) {
    this.#facts = facts;
    this.#parts = parts;
  }

  get inParts() {
    return this.#facts.size > WHOLE_LIMIT;
  }

  /**
   * @param {(peaks: import("./waveform.js").Peaks) => void} draw called when there is a waveform, and when it has grown
   * @returns {Promise<string>} what <audio> plays
   */
  async source(draw) {
    if (!this.inParts) {
      const blob = await playableOf(await this.whole(() => {}));
      peaksOf(blob).then(draw, () => {});
      return (this.#url = URL.createObjectURL(blob));
    }
    const worker = await playerWorker();
    if (!worker) throw new NotFetched("This browser cannot play long sealed recordings in place. Save it, then play the file.");
    const size = await this.#parts.plainLength();
    // A wrong place or a wrong key would show here: what comes out must be the audio file that was noted.
    const start = await this.#parts.read(0, 4096);
    if (size !== this.#facts.contentSize || !looksRight(start, this.#facts.kind)) throw new Altered();
    this.#token = crypto.randomUUID();
    open.set(this.#token, { parts: this.#parts, size, kind: this.#facts.kind, peaks: new GrowingPeaks(start, size, draw) });
    return `/recordings/opened/${this.#token}`;
  }

  /**
   * Everything, compared with its SHA-256.
   * @param {(share: number) => void} progress
   * @throws {Altered}
   */
  async whole(progress) {
    const hash = new Sha256();
    const blobs = [];
    const length = this.#parts.header.contentLength;
    for (let from = 0; from < length; from += this.inParts ? PIECE : length) {
      const piece = await this.#parts.read(from, Math.min(length, this.inParts ? from + PIECE : length));
      if (this.inParts) hash.update(piece);
      else if ((await digest(piece)) !== this.#facts.sha256) throw new Altered();
      blobs.push(new Blob([piece])); // a blob may live on disk, an array may not
      progress(Math.min(1, (from + PIECE) / length));
    }
    if (this.inParts && hash.hex() !== this.#facts.sha256) throw new Altered();
    this.verified = true;
    return new Blob(blobs, { type: this.#facts.kind });
  }

  close() {
    if (this.#url) URL.revokeObjectURL(this.#url);
    open.delete(this.#token);
  }
}

const digest = async (bytes) => toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));

/** How files of a kind begin; others are not told apart. */
const BEGINNINGS = {
  "audio/wav": ["RIFF", "RF64", "BW64"],
  "audio/ogg": ["OggS"],
  "audio/flac": ["fLaC", "ID3"],
  "audio/webm": ["\x1aE\xdf\xa3"],
};

/** For MPEG and AAC also a frame header (ISO 11172-3 section 2.4.1.3, 14496-3 section 1.A.2). */
function looksRight(start, kind) {
  const letters = String.fromCharCode(...start.subarray(0, 4));
  if (kind in BEGINNINGS) return BEGINNINGS[kind].some((one) => letters.startsWith(one));
  if (kind !== "audio/mpeg" && kind !== "audio/aac") return true;
  return letters.startsWith("ID3") || (start[0] === 0xff && (start[1] & 0xe0) === 0xe0);
}

// --- answering the worker -------------------------------------------------------------------------------------

/** token -> what is open: only what this page plays can be asked for, by a name nobody guesses. */
const open = new Map();

navigator.serviceWorker?.addEventListener("message", async ({ data, ports: [port] }) => {
  const found = open.get(data.token);
  if (!found) return port.postMessage({ gone: true });
  if (data.what === "facts") return port.postMessage({ size: found.size, kind: found.kind });
  try {
    const piece = (await found.parts.read(data.start, data.end)).slice();
    await found.peaks.add(data.start, piece);
    port.postMessage({ piece }, [piece.buffer]);
  } catch (error) {
    const damaged = error instanceof EnvelopeDamaged;
    port.postMessage({ error: String(error.message), damaged });
    dispatchEvent(new CustomEvent("soundbroken", { detail: error }));
  }
});

/** The worker, once it rules over this page; null where there is none to be had. */
async function playerWorker() {
  if (!navigator.serviceWorker) return null;
  try {
    await navigator.serviceWorker.register(policy.createScriptURL("/recordings/player-worker.js"), { scope: "/recordings" });
    if (!navigator.serviceWorker.controller) {
      await new Promise((resolve, reject) => {
        navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true });
        setTimeout(reject, 4000);
      });
    }
    return navigator.serviceWorker.controller;
  } catch {
    return null;
  }
}

/** Long recordings must not wait for the worker: it is made ready as soon as there is a key. */
export const prepare = () => playerWorker();
