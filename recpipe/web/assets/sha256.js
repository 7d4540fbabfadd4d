/**
 * SHA-256 over a stream (FIPS 180-4): WebCrypto hashes whole buffers only, and a long recording must not be one.
 *
 *     const hash = new Sha256();
 *     for (const part of parts) hash.update(part);
 *     hash.hex();
 */

import { toHex } from "./envelope-base.js";

/** The first 32 bits behind the point of `root(prime)` for the first primes: so FIPS 180-4 defines its constants. */
function fractions(count, root) {
  const found = [];
  for (let n = 2; found.length < count; n++) {
    let divisor = 2;
    while (divisor * divisor <= n && n % divisor) divisor++;
    if (divisor * divisor > n) found.push(((root(n) % 1) * 2 ** 32) | 0);
  }
  return found;
}

const ROUND_CONSTANTS = Int32Array.from(fractions(64, Math.cbrt)); // section 4.2.2
const INITIAL = Int32Array.from(fractions(8, Math.sqrt)); // section 5.3.3

export class Sha256 {
  #state = INITIAL.slice();
  #words = new Int32Array(64);
  #pending = new Uint8Array(64);
  #pendingBytes = 0;
  #totalBytes = 0;

  /** @param {Uint8Array} bytes @returns {this} */
  update(bytes) {
    this.#totalBytes += bytes.length;
    let at = 0;
    if (this.#pendingBytes) {
      at = Math.min(64 - this.#pendingBytes, bytes.length);
      this.#pending.set(bytes.subarray(0, at), this.#pendingBytes);
      this.#pendingBytes += at;
      if (this.#pendingBytes < 64) return this;
      this.#compress(this.#pending, 0);
    }
    for (; at + 64 <= bytes.length; at += 64) this.#compress(bytes, at);
    this.#pending.set(bytes.subarray(at));
    this.#pendingBytes = bytes.length - at;
    return this;
  }

  /** The digest in lower-case hexadecimal; the object is used up. @returns {string} */
  hex() {
    return toHex(this.digest());
  }

  /** The digest; the object is used up. @returns {Uint8Array} 32 bytes */
  digest() {
    const bits = this.#totalBytes * 8;
    const end = new Uint8Array((this.#pendingBytes < 56 ? 64 : 128) - this.#pendingBytes);
    end[0] = 0x80;
    const length = new DataView(end.buffer, end.length - 8);
    length.setUint32(0, Math.floor(bits / 2 ** 32));
    length.setUint32(4, bits % 2 ** 32);
    this.update(end);
    const digest = new Uint8Array(32);
    for (let n = 0; n < 32; n++) digest[n] = this.#state[n >> 2] >>> (24 - 8 * (n & 3));
    return digest;
  }

  /** One block, section 6.2.2. */
  #compress(bytes, at) {
    const w = this.#words;
    for (let t = 0; t < 16; t++, at += 4) {
      w[t] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    }
    for (let t = 16; t < 64; t++) {
      const x = w[t - 15], y = w[t - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[t] = (w[t - 16] + s0 + w[t - 7] + s1) | 0;
    }
    const state = this.#state;
    let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (let t = 0; t < 64; t++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUND_CONSTANTS[t] + w[t]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g, g = f, f = e, e = (d + t1) | 0, d = c, c = b, b = a, a = (t1 + t2) | 0;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}
