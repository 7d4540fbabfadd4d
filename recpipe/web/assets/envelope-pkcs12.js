/**
 * PKCS#12 files (`.pfx`, `.p12`), as Windows, browsers and OpenSSL export them: the private keys inside, and nothing else.
 *
 * Source: RFC 7292.
 */

import {
  CONTEXT_0, CONTEXT_0_PRIMITIVE, END_OF_CONTENTS, INTEGER, OCTETS, SEQUENCE,
  EnvelopeMalformed, KeyUnusable, PassphraseNeeded, PassphraseWrong, Reader,
} from "./envelope-base.js";
import { FOR_MAC, Password, bounded, hasMac, pkcs12Bytes, protection, sizeOfHash } from "./envelope-password.js";
import { t } from "./words.js";

const DATA = "1.2.840.113549.1.7.1"; // RFC 5652
const ENCRYPTED_DATA = "1.2.840.113549.1.7.6";
const KEY_BAG = "1.2.840.113549.1.12.10.1.1"; // RFC 7292 appendix D
const SHROUDED_KEY_BAG = "1.2.840.113549.1.12.10.1.2";
const NESTED_BAGS = "1.2.840.113549.1.12.10.1.6";
const MAC_HASHES = {
  "1.3.14.3.2.26": "SHA-1",
  "2.16.840.1.101.3.4.2.1": "SHA-256",
  "2.16.840.1.101.3.4.2.2": "SHA-384",
  "2.16.840.1.101.3.4.2.3": "SHA-512",
};
const DEEPEST = 24;
const EXPORT_AGAIN =
  t("Export it again with a password, as TripleDES-SHA1 or AES256-SHA256; or convert a copy: " +
  "openssl pkcs12 -legacy -in FILE -nocerts -out key.pem, then choose key.pem.");

/**
 * The private keys of a PKCS#12 file.
 * @param {Uint8Array} file
 * @param {string} [passphrase] may be empty
 * @returns {Promise<Uint8Array[]>} PKCS#8 each; at least one
 * @throws {PassphraseNeeded}, {PassphraseWrong}, {KeyUnusable}
 */
export async function keysInPkcs12(file, passphrase) {
  const pfx = new Reader(definite(file)).enter(SEQUENCE);
  pfx.integer();
  const safe = pfx.enter(SEQUENCE);
  if (safe.oid() !== DATA) throw new KeyUnusable("This PKCS#12 file is protected by a key and not by a password. {advice}", { advice: EXPORT_AGAIN });
  const content = safe.enter(CONTEXT_0).take(OCTETS);
  if (passphrase === undefined) throw new PassphraseNeeded();
  const password = new Password(passphrase, true);
  const proved = pfx.peek() === SEQUENCE && (await checkMac(pfx.enter(SEQUENCE), content, password));
  const found = await Safe.read(content, password);
  if (found.keys.length) return found.keys;
  if (found.wrong && !proved) throw new PassphraseWrong();
  if (found.wrong) {
    throw new KeyUnusable("The passphrase opens this file, but the private key inside has another one. {advice}", { advice: EXPORT_AGAIN });
  }
  throw new KeyUnusable(
    found.foreign
      ? t("The private key in this file is protected in a way browsers cannot open. {advice}", { advice: EXPORT_AGAIN })
      : t("There is no private key in this file, only certificates. Export it again, with the private key."),
  );
}

/**
 * Check a password before anything is decrypted, and keep the one form of it that is right.
 * @returns {Promise<boolean>} whether it is proved; not where the check is of a kind not known here
 * @throws {PassphraseWrong}
 */
async function checkMac(macData, content, password) {
  const digest = macData.enter(SEQUENCE);
  const hash = MAC_HASHES[digest.enter(SEQUENCE).oid()];
  const mac = digest.take(OCTETS);
  const salt = macData.take(OCTETS);
  const iterations = macData.peek() === INTEGER ? bounded(macData.integer()) : 1;
  if (!hash) return false;
  for (const secret of password.forPkcs12) {
    const key = await pkcs12Bytes(hash, secret, salt, iterations, FOR_MAC, sizeOfHash(hash));
    if (await hasMac(hash, key, content, mac)) {
      password.forPkcs12 = [secret];
      return true;
    }
  }
  throw new PassphraseWrong();
}

/** What was found in the parts of a file that hold bags. */
class Safe {
  keys = [];
  wrong = false; // something did not open with the password
  foreign = false; // something is protected in another way
  #password;

  /** Encrypted parts hold certificates as a rule, so they are opened only where no key is found before. */
  static async read(content, password) {
    const safe = new Safe();
    safe.#password = password;
    const sealed = [];
    for (const parts = new Reader(definite(content)).enter(SEQUENCE); !parts.done; ) {
      const part = parts.enter(SEQUENCE);
      const kind = part.oid();
      if (kind === DATA) await safe.#bags(new Reader(definite(part.enter(CONTEXT_0).take(OCTETS))).enter(SEQUENCE));
      else if (kind === ENCRYPTED_DATA) sealed.push(part.enter(CONTEXT_0).enter(SEQUENCE));
      else safe.foreign = true;
    }
    for (const part of sealed) if (!safe.keys.length) await safe.#sealed(part);
    return safe;
  }

  async #sealed(part) {
    part.integer();
    const info = part.enter(SEQUENCE);
    info.oid();
    const algorithm = info.enter(SEQUENCE);
    const joined = info.peek() === CONTEXT_0 ? joinedOctets(info.enter(CONTEXT_0)) : info.take(CONTEXT_0_PRIMITIVE);
    const bags = await this.#opened(algorithm, joined);
    if (bags) await this.#bags(new Reader(bags).enter(SEQUENCE));
  }

  async #bags(bags) {
    while (!bags.done) {
      const bag = bags.enter(SEQUENCE);
      const kind = bag.oid();
      const value = bag.enter(CONTEXT_0);
      if (kind === KEY_BAG) {
        this.keys.push(value.bytes.slice(value.at, value.end));
      } else if (kind === SHROUDED_KEY_BAG) {
        const shrouded = value.enter(SEQUENCE);
        const key = await this.#opened(shrouded.enter(SEQUENCE), shrouded.take(OCTETS));
        if (key) this.keys.push(key);
      } else if (kind === NESTED_BAGS) {
        await this.#bags(value.enter(SEQUENCE));
      }
    }
  }

  /** What was protected, where it is a SEQUENCE from its first byte to its last: chance does not make one. */
  async #opened(algorithm, sealed) {
    const decrypt = protection(algorithm);
    if (!decrypt) {
      this.foreign = true;
      return null;
    }
    for await (const plain of decrypt(this.#password, sealed)) {
      try {
        return definite(plain, SEQUENCE);
      } catch (error) {
        if (!(error instanceof EnvelopeMalformed)) throw error;
      }
    }
    this.wrong = true;
    return null;
  }
}

function joinedOctets(pieces) {
  const bytes = [];
  while (!pieces.done) bytes.push(...pieces.take(OCTETS));
  return Uint8Array.from(bytes);
}

/**
 * The same in DER: definite lengths, octet strings in one piece. Browsers export in streamed BER.
 * @param {Uint8Array} bytes one element, and nothing behind it
 * @throws {EnvelopeMalformed}
 * Source: X.690 section 8.1.
 */
function definite(bytes, tag = bytes[0]) {
  const [whole, end] = definiteElement(bytes, 0, DEEPEST);
  if (end !== bytes.length || bytes[0] !== tag) throw malformedBer();
  return whole;
}

const malformedBer = () => new EnvelopeMalformed("The file is damaged: its structure is broken.");

/** @returns {[Uint8Array, number]} the element that starts at `at`, and where the next one does */
function definiteElement(bytes, at, depth) {
  const tag = bytes[at];
  let length = bytes[at + 1];
  let body = at + 2;
  if (!depth || length === undefined || (tag & 0x1f) === 0x1f || length > 0x84) throw malformedBer();
  const streamed = length === 0x80;
  if (length > 0x80) {
    const octets = length - 0x80;
    length = 0;
    for (let n = 0; n < octets; n++) length = length * 256 + bytes[body++];
  }
  const end = streamed ? bytes.length : body + length;
  if (!(end <= bytes.length) || (streamed && !(tag & 0x20))) throw malformedBer();
  if (!(tag & 0x20)) return [bytes.subarray(at, end), end];

  const children = [];
  while (streamed ? bytes[body] !== END_OF_CONTENTS || bytes[body + 1] !== END_OF_CONTENTS : body < end) {
    const [child, next] = definiteElement(bytes, body, depth - 1);
    if (next > end) throw malformedBer();
    children.push(tag === 0x24 ? new Reader(child).take(OCTETS) : child);
    body = next;
  }
  return [encoded(tag === 0x24 ? OCTETS : tag, children), streamed ? body + 2 : end];
}

function encoded(tag, children) {
  const length = children.reduce((sum, child) => sum + child.length, 0);
  const octets = length < 0x80 ? [length] : [0x84, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255];
  const element = new Uint8Array(1 + octets.length + length);
  element.set([tag, ...octets]);
  let at = 1 + octets.length;
  for (const child of children) {
    element.set(child, at);
    at += child.length;
  }
  return element;
}
