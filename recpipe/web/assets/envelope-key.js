/**
 * RSA private keys: read from the files OpenSSL writes, used for RSAES-PKCS1-v1_5, which WebCrypto does not have.
 */

import {
  OCTETS, OID, RSA, SEQUENCE,
  BrowserUnable, EnvelopeMalformed, KeyUnusable, NeedMoreBytes, PassphraseNeeded, PassphraseWrong, Reader,
  toBigInt,
} from "./envelope-base.js";
import { Password, protection } from "./envelope-password.js";
import { keysInPkcs12 } from "./envelope-pkcs12.js";
import { t } from "./words.js";

const CONVERT = t("Convert a copy: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD.pem -out NEW.pem, then choose NEW.pem.");
const OTHER_KEY = t("Recordings are sealed for RSA certificates: choose the private key of yours.");

/** An RSA private key that does one thing. Its numbers cannot be read back out of it, but under another key. */
export class RsaPrivateKey {
  #n; #e; #p; #q; #dp; #dq; #qinv;
  /** @type {RsaPrivateKey[]} the further keys of the same file */
  others = [];

  /** @throws {KeyUnusable} the numbers are not those of an RSA key. Source: RFC 8017 section 3.2. */
  constructor({ n, e, p, q, dp, dq, qinv }) {
    this.bits = n.toString(2).length;
    if (p < 2n || q < 2n || p * q !== n || e < 3n || this.bits < 1024 || this.bits > 16384) throw inconsistentKey();
    [this.#n, this.#e, this.#p, this.#q, this.#dp, this.#dq, this.#qinv] = [n, e, p, q, dp, dq, qinv];
  }

  /** For the person whose file it is. */
  get description() {
    return this.others.length ? `${1 + this.others.length} RSA keys` : `RSA, ${this.bits} bits`;
  }

  /**
   * Its numbers, and those of the others, encrypted.
   * @param {CryptoKey} wrapping for AES-GCM, which had better not be one that can be read
   * @param {Uint8Array} bound what `opened` has to be told again
   * @returns {Promise<{iv: Uint8Array, sealed: ArrayBuffer}>}
   */
  async sealed(wrapping, bound) {
    const numbers = [this, ...this.others].map((key) => key.#numbers().map((number) => number.toString(16)));
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const plain = new TextEncoder().encode(JSON.stringify(numbers));
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: bound }, wrapping, plain);
    plain.fill(0);
    return { iv, sealed };
  }

  /** @returns {Promise<RsaPrivateKey>} what `sealed` gave; rejects what was changed, or bound to something else */
  static async opened(wrapping, iv, sealed, bound) {
    const plain = await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData: bound }, wrapping, sealed);
    const [first, ...others] = JSON.parse(new TextDecoder().decode(plain)).map((numbers) => {
      const [n, e, p, q, dp, dq, qinv] = numbers.map((number) => BigInt(`0x${number}`));
      return new RsaPrivateKey({ n, e, p, q, dp, dq, qinv });
    });
    first.others = others;
    return first;
  }

  #numbers() {
    return [this.#n, this.#e, this.#p, this.#q, this.#dp, this.#dq, this.#qinv];
  }

  /**
   * RSADP with the Chinese remainder theorem (RFC 8017 section 5.1.2).
   * @returns {Uint8Array|null} null: the block cannot have been made for this key
   */
  decrypt(block) {
    const c = toBigInt(block);
    const size = Math.ceil(this.bits / 8);
    if (block.length !== size || c >= this.#n) return null;
    const m1 = modPow(c, this.#dp, this.#p);
    const m2 = modPow(c, this.#dq, this.#q);
    const h = (((m1 - m2) * this.#qinv) % this.#p + this.#p) % this.#p;
    const m = m2 + h * this.#q;
    // A damaged key must not pass for a wrong one: the person would look for another key in vain.
    if (modPow(m, this.#e, this.#n) !== c) throw inconsistentKey();
    return Uint8Array.from(m.toString(16).padStart(size * 2, "0").match(/../g), (hex) => parseInt(hex, 16));
  }
}

const inconsistentKey = () =>
  new KeyUnusable("The private key is damaged: its numbers do not belong together. Use another copy of the file.");

function modPow(base, exponent, modulus) {
  const powers = [1n];
  for (let i = 1; i < 16; i++) powers.push((powers[i - 1] * base) % modulus);
  let result = 1n;
  for (const digit of exponent.toString(16)) {
    for (let i = 0; i < 4; i++) result = (result * result) % modulus;
    if (digit !== "0") result = (result * powers[parseInt(digit, 16)]) % modulus;
  }
  return result;
}

/**
 * Load an RSA private key: PKCS#8 or PKCS#1, PEM or DER, PKCS#8 with a passphrase, or PKCS#12 (`.pfx`).
 * @param {Uint8Array|ArrayBuffer|string} input
 * @param {string} [passphrase] may be empty
 * @returns {Promise<RsaPrivateKey>} of several in a PKCS#12 file the first, with the `others`
 * @throws {PassphraseNeeded}, {PassphraseWrong}, {KeyUnusable} says what was given instead, and how to convert it
 * Source: RFC 7468 (PEM), RFC 5208 (PKCS#8), RFC 8017 appendix A.1.2 (PKCS#1), RFC 7292 (PKCS#12).
 */
export async function loadPrivateKey(input, passphrase) {
  const der = typeof input === "string" ? fromText(input) : fromBytes(new Uint8Array(input));
  try {
    return await parseKey(der, passphrase);
  } catch (error) {
    if (!(error instanceof NeedMoreBytes || error instanceof EnvelopeMalformed)) throw error;
    throw new KeyUnusable(
      "This is not a private key, or it is damaged. Choose the .pfx, or the file that begins with BEGIN PRIVATE KEY.",
    );
  }
}

function fromBytes(bytes) {
  if (bytes[0] === SEQUENCE) return bytes;
  const mark = bytes[0] * 256 + bytes[1]; // PowerShell redirects text into UTF-16
  return fromText(new TextDecoder({ 0xfffe: "utf-16le", 0xfeff: "utf-16be" }[mark] ?? "latin1").decode(bytes));
}

/** The one private key of a text, or an error that names what is there instead. */
function fromText(text) {
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([^]*?)-----END \1-----/g)];
  const keys = blocks.filter(([, label]) => label.endsWith("PRIVATE KEY") || label === "PKCS12");
  if (keys.length > 1) throw new KeyUnusable("This file holds several private keys. Put one into a file of its own.");
  const [, label, body] = keys[0] ?? blocks[0] ?? [];
  if (text.startsWith("PuTTY-User-Key-File") || label === "OPENSSH PRIVATE KEY") {
    throw new KeyUnusable("This is an SSH key. Choose the private key made together with your certificate.");
  }
  if (/^(EC|DSA) PRIVATE KEY$/.test(label)) throw new KeyUnusable("This is not an RSA key ({label}). {advice}", { label, advice: OTHER_KEY });
  if (!keys.length) {
    throw new KeyUnusable(
      label
        ? t("This is a {label}, which cannot open anything. Choose the private key that belongs to it.", { label: label.toLowerCase() })
        : text.includes("PRIVATE KEY-----")
          ? t("The private key is incomplete: its BEGIN or END line is missing. Use another copy of the file.")
          : t("There is no private key in this file. Choose the one that begins with BEGIN PRIVATE KEY."),
    );
  }
  if (/^Proc-Type: *4,ENCRYPTED/m.test(body)) throw new KeyUnusable("This key is protected in an old way. {advice}", { advice: CONVERT });
  try {
    return Uint8Array.from(atob(body.replace(/\s/g, "")), (character) => character.charCodeAt(0));
  } catch {
    throw new KeyUnusable("The private key is damaged: its text is not Base64. Use another copy of the file.");
  }
}

/** Tell PKCS#1, PKCS#8, its encrypted form, PKCS#12 and a certificate apart by their first elements. */
async function parseKey(der, passphrase) {
  const key = new Reader(der).enter(SEQUENCE);
  if (key.peek() === SEQUENCE) return parseEncrypted(key, passphrase);
  const version = key.integer();
  if (version === 3n) return rsaKeysOf(await keysInPkcs12(der, passphrase));
  if (key.peek() !== SEQUENCE) return parsePkcs1(key, version);
  const algorithm = key.enter(SEQUENCE).oid();
  if (algorithm !== RSA) throw new KeyUnusable("This is not an RSA key for decryption ({algorithm}). {advice}", { algorithm, advice: OTHER_KEY });
  const inner = new Reader(key.take(OCTETS)).enter(SEQUENCE);
  return parsePkcs1(inner, inner.integer());
}

/** The RSA keys of a file that may hold others too; the first one knows the rest. */
async function rsaKeysOf(found) {
  const keys = [];
  let refused;
  for (const one of found) {
    try {
      keys.push(await parseKey(one));
    } catch (error) {
      if (!(error instanceof KeyUnusable)) throw error;
      refused ??= error;
    }
  }
  if (!keys.length) throw refused;
  keys[0].others = keys.slice(1);
  return keys[0];
}

function parsePkcs1(key, version) {
  if (version !== 0n) {
    throw new KeyUnusable("RSA keys of more than two primes are not supported. Use openssl smime -decrypt.");
  }
  const [n, e, , p, q, dp, dq, qinv] = Array.from({ length: 8 }, () => key.integer());
  return new RsaPrivateKey({ n, e, p, q, dp, dq, qinv });
}

/** EncryptedPrivateKeyInfo (RFC 5958 section 3). */
async function parseEncrypted(outer, passphrase) {
  const scheme = outer.enter(SEQUENCE);
  if (scheme.peek() !== OID) throw new KeyUnusable("This is a certificate. Choose the private key that belongs to it.");
  const start = scheme.at;
  if (scheme.oid() === RSA) throw new KeyUnusable("This is a public key. Choose the private key that belongs to it.");
  scheme.at = start;
  const decrypt = protection(scheme);
  if (!decrypt) throw new KeyUnusable("This key is protected in a way browsers cannot open. {advice}", { advice: CONVERT });
  const sealed = outer.take(OCTETS);
  if (passphrase === undefined) throw new PassphraseNeeded();
  for await (const plain of decrypt(new Password(passphrase), sealed)) {
    try {
      return await parseKey(plain); // never encrypted twice: no passphrase goes along
    } catch (error) {
      // The padding of a wrong passphrase is right once in 256; what comes out then is no key.
      if (error instanceof BrowserUnable || error instanceof KeyUnusable) throw error;
    }
  }
  throw new PassphraseWrong();
}
