/**
 * SHA-1 of a short message (FIPS 180-4 section 6.1).
 *
 * Browsers have it, in WebCrypto; but PKCS#12 asks for up to a million hashes in a row, and one call of WebCrypto takes
 * as long as dozens of these.
 */

const INITIAL_SHA1 = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0); // section 5.3.1

/** @param {Uint8Array} bytes @returns {Uint8Array} 20 bytes */
export function sha1(bytes) {
  const state = INITIAL_SHA1.slice();
  const w = new Int32Array(80);
  const byte = (at) => (at < bytes.length ? bytes[at] : at === bytes.length ? 0x80 : 0);
  const blocks = (bytes.length + 72) >> 6;
  for (let at = 0; at < blocks * 64; at += 64) {
    for (let t = 0, from = at; t < 16; t++, from += 4) {
      w[t] = (byte(from) << 24) | (byte(from + 1) << 16) | (byte(from + 2) << 8) | byte(from + 3);
    }
    if (at + 64 === blocks * 64) w[15] = bytes.length * 8;
    for (let t = 16; t < 80; t++) {
      const x = w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16];
      w[t] = (x << 1) | (x >>> 31);
    }
    let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (let t = 0; t < 80; t++) {
      let f;
      if (t < 20) f = ((b & c) | (~b & d)) + 0x5a827999;
      else if (t < 40) f = (b ^ c ^ d) + 0x6ed9eba1;
      else if (t < 60) f = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
      else f = (b ^ c ^ d) + 0xca62c1d6;
      const next = (((a << 5) | (a >>> 27)) + f + e + w[t]) | 0;
      e = d, d = c, c = (b << 30) | (b >>> 2), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
  }
  const digest = new Uint8Array(20);
  for (let n = 0; n < 20; n++) digest[n] = state[n >> 2] >>> (24 - 8 * (n & 3));
  return digest;
}
