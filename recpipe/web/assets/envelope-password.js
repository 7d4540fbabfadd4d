/**
 * What a password protects in key files: PBES2 (PBKDF2, then AES or triple DES) as OpenSSL and Windows write it today, and
 * the older SHA-1 with triple DES of PKCS#12.
 *
 * Source: RFC 8018 section 6.2 and appendix A (PBES2), RFC 7292 appendices B and C (PKCS#12).
 */

import {
  CONTENT_CIPHERS, INTEGER, OCTETS, SEQUENCE,
  EnvelopeDamaged, KeyUnusable,
  decryptCbc, importAesKey, subtle,
} from "./envelope-base.js";
import { decryptTripleDes } from "./des.js";
import { sha1 } from "./sha1.js";
import { Sha256 } from "./sha256.js";

export const MOST_ITERATIONS = 1_000_000;

const PBES2 = "1.2.840.113549.1.5.13";
const PBKDF2 = "1.2.840.113549.1.5.12";
const TRIPLE_DES = "1.2.840.113549.3.7"; // RFC 8018 appendix B.2.2
const PRFS = { // RFC 8018 appendix B.1
  "1.2.840.113549.2.7": "SHA-1",
  "1.2.840.113549.2.9": "SHA-256",
  "1.2.840.113549.2.10": "SHA-384",
  "1.2.840.113549.2.11": "SHA-512",
};
const PKCS12_CIPHERS = { // RFC 7292 appendix C; RC2 and RC4 are left out: no private key of today needs them
  "1.2.840.113549.1.12.1.3": 24,
  "1.2.840.113549.1.12.1.4": 16,
};

/** Purposes of derived bytes (RFC 7292 appendix B.3). */
export const FOR_KEY = 1, FOR_IV = 2, FOR_MAC = 3;

/** A hash of short messages with the sizes that RFC 7292 calls u and v; WebCrypto where ours are not needed. */
const HASHES = {
  "SHA-1": { size: 20, block: 64, hash: sha1 },
  "SHA-256": { size: 32, block: 64, hash: (bytes) => new Sha256().update(bytes).digest() },
  "SHA-384": { size: 48, block: 128, hash: async (bytes) => new Uint8Array(await subtle().digest("SHA-384", bytes)) },
  "SHA-512": { size: 64, block: 128, hash: async (bytes) => new Uint8Array(await subtle().digest("SHA-512", bytes)) },
};

/** A password as the bytes that schemes want. Programs differ in them, so there may be several to try. */
export class Password {
  /**
   * @param {string} text
   * @param {boolean} [inPkcs12] some programs give PBES2 the text of PKCS#12 there
   */
  constructor(text, inPkcs12 = false) {
    const utf8 = new TextEncoder().encode(text);
    this.forPkcs12 = [bmpString(text)];
    if (!text) this.forPkcs12.push(utf8); // nothing at all, without the zero at its end
    if (utf8.length !== text.length) this.forPkcs12.push(bmpString(String.fromCharCode(...utf8))); // OpenSSL before 1.1
    this.forPbes2 = inPkcs12 && text ? [utf8, bmpString(text)] : [utf8];
  }
}

/** UTF-16, high byte first, with a zero at the end (RFC 7292 appendix B.1). */
function bmpString(text) {
  const bytes = new Uint8Array(text.length * 2 + 2);
  for (let n = 0; n < text.length; n++) new DataView(bytes.buffer).setUint16(2 * n, text.charCodeAt(n));
  return bytes;
}

/**
 * How something is protected.
 * @param {import("./envelope-base.js").Reader} algorithm inside its AlgorithmIdentifier
 * @returns {((password: Password, sealed: Uint8Array) => AsyncGenerator<Uint8Array>)|null} gives what comes out, once for
 *   each form of the password whose padding is right (that of a wrong one is, once in 256); null: not a way known here
 * @throws {KeyUnusable} more iterations than anybody would wait for
 */
export function protection(algorithm) {
  const scheme = algorithm.oid();
  if (Object.hasOwn(PKCS12_CIPHERS, scheme)) return pkcs12Encryption(algorithm.enter(SEQUENCE), PKCS12_CIPHERS[scheme]);
  return scheme === PBES2 ? pbes2(algorithm.enter(SEQUENCE)) : null;
}

function pkcs12Encryption(parameters, keyBytes) {
  const salt = parameters.take(OCTETS);
  const iterations = bounded(parameters.integer());
  return async function* (password, sealed) {
    for (const secret of password.forPkcs12) {
      const key = await pkcs12Bytes("SHA-1", secret, salt, iterations, FOR_KEY, keyBytes);
      const iv = await pkcs12Bytes("SHA-1", secret, salt, iterations, FOR_IV, 8);
      yield* unpadded(decryptTripleDes(key, iv, sealed));
    }
  };
}

function pbes2(parameters) {
  const kdf = parameters.enter(SEQUENCE);
  if (kdf.oid() !== PBKDF2) return null;
  const pbkdf2 = kdf.enter(SEQUENCE);
  const salt = pbkdf2.take(OCTETS);
  const iterations = bounded(pbkdf2.integer());
  if (pbkdf2.peek() === INTEGER) pbkdf2.integer();
  const prf = pbkdf2.peek() === SEQUENCE ? pbkdf2.enter(SEQUENCE).oid() : "1.2.840.113549.2.7";
  const cipher = parameters.enter(SEQUENCE);
  const cipherOid = cipher.oid();
  const aes = Object.hasOwn(CONTENT_CIPHERS, cipherOid);
  if (!Object.hasOwn(PRFS, prf) || !(aes || cipherOid === TRIPLE_DES)) return null;
  const iv = cipher.take(OCTETS);
  const keyBytes = aes ? CONTENT_CIPHERS[cipherOid][1] : 24;
  return async function* (password, sealed) {
    for (const secret of password.forPbes2) {
      const key = await subtle().importKey("raw", secret, "PBKDF2", false, ["deriveBits"]);
      const derivation = { name: "PBKDF2", hash: PRFS[prf], salt, iterations };
      const raw = new Uint8Array(await subtle().deriveBits(derivation, key, keyBytes * 8));
      if (!aes) {
        yield* unpadded(decryptTripleDes(raw, iv, sealed));
        continue;
      }
      try {
        yield await decryptCbc(await importAesKey(raw, ["decrypt"]), iv, sealed);
      } catch (error) {
        if (!(error instanceof EnvelopeDamaged)) throw error;
      }
    }
  };
}

/** Without its PKCS#7 padding (RFC 8018 section 6.1.1); nothing where that is wrong. */
function* unpadded(plain) {
  const by = plain.at(-1);
  if (by >= 1 && by <= 8 && plain.subarray(-by).every((byte) => byte === by)) yield plain.subarray(0, -by);
}

/** @param {bigint} iterations */
export function bounded(iterations) {
  if (iterations >= 1n && iterations <= MOST_ITERATIONS) return Number(iterations);
  throw new KeyUnusable(
    "This file asks for {iterations} iterations of its password; up to a million are taken here. Export it again.", { iterations },
  );
}

/**
 * The bytes that PKCS#12 derives from a password.
 * @param {string} name of the hash @param {Uint8Array} secret @param {number} purpose
 * @returns {Promise<Uint8Array>} Source: RFC 7292 appendix B.2.
 */
export async function pkcs12Bytes(name, secret, salt, iterations, purpose, size) {
  const { size: hashBytes, block, hash } = HASHES[name];
  const filled = (bytes) =>
    Uint8Array.from({ length: Math.ceil(bytes.length / block) * block }, (_, n) => bytes[n % bytes.length]);
  const diversifier = new Uint8Array(block).fill(purpose);
  const input = Uint8Array.of(...filled(salt), ...filled(secret));
  const derived = new Uint8Array(Math.ceil(size / hashBytes) * hashBytes);
  for (let at = 0; at < size; at += hashBytes) {
    let digest = await hash(Uint8Array.of(...diversifier, ...input));
    for (let n = 1; n < iterations; n++) {
      digest = hash(digest);
      if (digest instanceof Promise) digest = await digest;
      if (n % 50_000 === 0) await new Promise((resume) => setTimeout(resume)); // a slow file must not freeze the page
    }
    derived.set(digest, at);
    for (let start = 0; start < input.length; start += block) {
      let carry = 1;
      for (let n = block - 1; n >= 0; n--) {
        carry += input[start + n] + digest[n % hashBytes];
        input[start + n] = carry;
        carry >>= 8;
      }
    }
  }
  return derived.subarray(0, size);
}

/** Whether the message authentication code of a PKCS#12 file is that of its content. */
export async function hasMac(name, key, content, mac) {
  const hmac = await subtle().importKey("raw", key, { name: "HMAC", hash: name }, false, ["verify"]);
  return subtle().verify("HMAC", hmac, mac, content);
}
export const sizeOfHash = (name) => HASHES[name].size;
