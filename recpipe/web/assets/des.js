/**
 * Triple DES, to decrypt the private keys that Windows and older programs protect with it: browsers have AES alone.
 *
 * Bits are moved one by one. A key file has some hundred blocks, so tables that can be held against the standard are
 * worth more here than speed.
 *
 * Source: FIPS 46-3 (DES and its tables, by their names there), NIST SP 800-67 (EDE), SP 800-38A section 6.2 (CBC).
 */

const numbers = (text) => text.trim().split(/\s+/).map(Number);

const IP = [58, 60, 62, 64, 57, 59, 61, 63].flatMap((last) => Array.from({ length: 8 }, (_, n) => last - 8 * n));
const IP_INVERSE = IP.map((_, n) => IP.indexOf(n + 1) + 1);
const EXPANSION = Array.from({ length: 48 }, (_, n) => ((4 * Math.floor(n / 6) + (n % 6) + 31) % 32) + 1);
const PERMUTATION = numbers("16 7 20 21 29 12 28 17 1 15 23 26 5 18 31 10 2 8 24 14 32 27 3 9 19 13 30 6 22 11 4 25");
const CHOICE_1 = numbers(`
  57 49 41 33 25 17 9 1 58 50 42 34 26 18 10 2 59 51 43 35 27 19 11 3 60 52 44 36
  63 55 47 39 31 23 15 7 62 54 46 38 30 22 14 6 61 53 45 37 29 21 13 5 28 20 12 4`);
const CHOICE_2 = numbers(`
  14 17 11 24 1 5 3 28 15 6 21 10 23 19 12 4 26 8 16 7 27 20 13 2
  41 52 31 37 47 55 30 40 51 45 33 48 44 49 39 56 34 53 46 42 50 36 29 32`);
const SHIFTS = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];
const S_BOXES = [ // S1 to S8: the four rows of each behind one another, a digit an entry
  "e4d12fb83a6c59070f74e2d1a6cb953841e8d62bfc973a50fc8249175b3ea06d",
  "f18e6b34972dc05a3d47f28ec01a69b50e7ba4d158c6932fd8a13f42b67c05e9",
  "a09e63f51dc7b428d709346a285ecbf1d6498f30b12c5ae71ad069874fe3b52c",
  "7de3069a1285bc4fd8b56f03472c1ae9a690cb7df13e52843f06a1d8945bc72e",
  "2c417ab6853fd0e9eb2c47d150fa3986421bad78f9c5630eb8c71e2d6f09a453",
  "c1af92680d34e75baf427c9561de0b389ef528c3704a1db6432c95fabe17608d",
  "4b2ef08d3c975a61d0b7491ae35c2f8614bdc37eaf6805926bd814a7950fe23c",
  "d2846fb1a93e50c71fd8a374c56b0e927b419ce206adf35821e74a8dfc90356b",
].map((digits) => Array.from(digits, (digit) => parseInt(digit, 16)));

const permuted = (bits, table) => table.map((place) => bits[place - 1]);
const exclusiveOr = (one, other) => one.map((bit, n) => bit ^ other[n]);
const bitsOf = (bytes) => Array.from({ length: bytes.length * 8 }, (_, n) => (bytes[n >> 3] >> (7 - (n & 7))) & 1);
const bytesOfBits = (bits) =>
  Uint8Array.from({ length: bits.length / 8 }, (_, n) => bits.slice(8 * n, 8 * n + 8).reduce((sum, bit) => 2 * sum + bit, 0));

/** The key schedule: sixteen keys of 48 bits. */
function roundKeys(key) {
  const chosen = permuted(bitsOf(key), CHOICE_1);
  let turned = 0;
  return SHIFTS.map((by) => {
    turned += by;
    const half = (start) => Array.from({ length: 28 }, (_, n) => chosen[start + ((n + turned) % 28)]);
    return permuted([...half(0), ...half(28)], CHOICE_2);
  });
}

/** The cipher function f(R, K). */
function scrambled(right, key) {
  const mixed = exclusiveOr(permuted(right, EXPANSION), key);
  const substituted = S_BOXES.flatMap((box, n) => {
    const [a, b, c, d, e, f] = mixed.slice(6 * n, 6 * n + 6);
    const found = box[32 * a + 16 * f + 8 * b + 4 * c + 2 * d + e];
    return [found >> 3, (found >> 2) & 1, (found >> 1) & 1, found & 1];
  });
  return permuted(substituted, PERMUTATION);
}

/** One block through DES; the keys in reverse order decrypt. */
function des(block, keys) {
  const start = permuted(block, IP);
  let left = start.slice(0, 32), right = start.slice(32);
  for (const key of keys) [left, right] = [right, exclusiveOr(left, scrambled(right, key))];
  return permuted([...right, ...left], IP_INVERSE);
}

/**
 * Decrypt DES-EDE3-CBC; the padding stays.
 * @param {Uint8Array} key 24 bytes, or 16 for two keys
 * @param {Uint8Array} iv 8 bytes
 * @param {Uint8Array} content whole blocks of 8 bytes
 * @returns {Uint8Array}
 */
export function decryptTripleDes(key, iv, content) {
  const [first, second, third] = [0, 8, 16].map((at) => roundKeys(key.subarray(at % key.length, (at % key.length) + 8)));
  first.reverse();
  third.reverse();
  const plain = new Uint8Array(content.length);
  let before = bitsOf(iv);
  for (let at = 0; at < content.length; at += 8) {
    const block = bitsOf(content.subarray(at, at + 8));
    plain.set(bytesOfBits(exclusiveOr(des(des(des(block, third), second), first), before)), at);
    before = block;
  }
  return plain;
}
