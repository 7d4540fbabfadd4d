/**
 * What the modules about envelopes and about keys share: their errors, DER, and AES-CBC through WebCrypto.
 */

import { t } from "./words.js";

/** Base of everything thrown on purpose; `message` is written for the person at the screen. */
export class EnvelopeError extends Error {
  constructor(text, values) {
    super(t(text, values));
    this.name = new.target.name;
  }
}
/** The first bytes are not enough: call again with at least `bytes` of them. */
export class NeedMoreBytes extends EnvelopeError {
  constructor(bytes) {
    super("The first {bytes} bytes of the file are needed to read its header.", { bytes });
    this.bytes = bytes;
  }
}
/** Not a sealed recording, or its structure is broken. */
export class EnvelopeMalformed extends EnvelopeError {}
/** A sealed file of a kind this module does not open. */
export class EnvelopeUnsupported extends EnvelopeError {}
/** The file ends too early. */
export class EnvelopeTruncated extends EnvelopeError {
  constructor() {
    super("The file is incomplete: its end is missing. Download it again, in binary mode if by FTP.");
  }
}
/** The key fits, the content does not decrypt. */
export class EnvelopeDamaged extends EnvelopeError {
  constructor() {
    super("The file is damaged: the key fits, but the end of the content does not decrypt. Download it again.");
  }
}
/** A sound private key, but none of the recipients is its owner. */
export class WrongKeyError extends EnvelopeError {
  constructor(recipients) {
    const serials = recipients.slice(0, 5).map((recipient) => recipient.serial);
    if (recipients.length > serials.length) serials.push(t("and others"));
    super(
      "This private key does not open this recording. Choose the private key of a certificate it was sealed for" +
        " (serial number {serials}).", { serials: serials.join(", ") || t("unknown: none of them is RSA") },
    );
  }
}
/** What was given as a private key cannot be used as one. */
export class KeyUnusable extends EnvelopeError {}
/** The private key is encrypted and no passphrase was given. */
export class PassphraseNeeded extends EnvelopeError {
  constructor() {
    super("This private key is protected. Enter its passphrase.");
  }
}
/** The passphrase does not open the private key. */
export class PassphraseWrong extends EnvelopeError {
  constructor() {
    super("The passphrase does not open this private key. Check capital letters and keyboard layout, then try again.");
  }
}
/** This browser, or the way this page was loaded, lacks what is needed. */
export class BrowserUnable extends EnvelopeError {}

export const RSA = "1.2.840.113549.1.1.1"; // RFC 8017 appendix A.1
export const CONTENT_CIPHERS = { // RFC 3565 section 4.1
  "2.16.840.1.101.3.4.1.2": ["AES-128-CBC", 16],
  "2.16.840.1.101.3.4.1.22": ["AES-192-CBC", 24],
  "2.16.840.1.101.3.4.1.42": ["AES-256-CBC", 32],
};

export const SEQUENCE = 0x30, SET = 0x31, INTEGER = 0x02, OCTETS = 0x04, CHUNKS = 0x24, OID = 0x06;
export const CONTEXT_0 = 0xa0, CONTEXT_0_PRIMITIVE = 0x80, END_OF_CONTENTS = 0;

/** Walks DER, and BER as far as streaming writers use it (X.690 section 8.1). Offsets are those of the whole file. */
export class Reader {
  constructor(bytes, at = 0, end = Infinity) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  need(end) {
    if (end > this.end) throw new EnvelopeMalformed("The structure of the file is broken. Download it again.");
    if (end > this.bytes.length) throw new NeedMoreBytes(end);
  }

  get done() {
    return this.at >= this.end;
  }

  /** The tag that comes next, or -1 at the end. */
  peek() {
    if (this.done) return -1;
    this.need(this.at + 1);
    return this.bytes[this.at];
  }

  /** Move past the next element, whose body need not be there yet. In streamed BER its end is not known: it is ours. */
  element(tag) {
    this.need(this.at + 2);
    let length = this.bytes[this.at + 1];
    let body = this.at + 2;
    const found = this.bytes[this.at];
    const streamed = length === 0x80;
    if (found !== tag || (streamed && !(found & 0x20)) || length > 0x86) {
      throw new EnvelopeMalformed("This is not a sealed recording, or its beginning is damaged. Download it again.");
    }
    if (length > 0x80) {
      const octets = length - 0x80;
      this.need(body + octets);
      length = 0;
      for (let i = 0; i < octets; i++) length = length * 256 + this.bytes[body++];
    }
    const end = streamed ? this.end : body + length;
    if (end > this.end) this.need(end);
    this.at = end;
    return { body, end, streamed };
  }

  enter(tag) {
    const { body, end } = this.element(tag);
    return new Reader(this.bytes, body, end);
  }

  /** The whole body of the next element, which must have a length. */
  take(tag) {
    const { body, end, streamed } = this.element(tag);
    if (streamed) throw new EnvelopeUnsupported("The header of the file is written in a form that is not supported.");
    this.need(end);
    return this.bytes.subarray(body, end);
  }

  integer() {
    return toBigInt(this.take(INTEGER));
  }

  oid() {
    const arcs = [];
    let arc = 0;
    for (const byte of this.take(OID)) {
      arc = arc * 128 + (byte & 0x7f);
      if (byte & 0x80) continue;
      if (arcs.length) arcs.push(arc);
      else arcs.push(Math.min(2, Math.floor(arc / 40)), arc - 40 * Math.min(2, Math.floor(arc / 40)));
      arc = 0;
    }
    return arcs.join(".");
  }
}

export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export const toBigInt = (bytes) => BigInt(`0x${toHex(bytes) || "0"}`);
export const latin1 = (bytes) => new TextDecoder("latin1").decode(bytes);

export const BLOCK = 16; // bytes of an AES block, whatever the key

/** WebCrypto always strips padding, so give a part of a message some: an empty message, encrypted after its end. */
export async function withPadding(key, content) {
  const iv = content.subarray(content.length - BLOCK);
  const padding = await subtle().encrypt({ name: "AES-CBC", iv }, key, new Uint8Array());
  const padded = new Uint8Array(content.length + BLOCK);
  padded.set(content);
  padded.set(new Uint8Array(padding), content.length);
  return padded;
}

export async function decryptCbc(key, iv, content) {
  try {
    return new Uint8Array(await subtle().decrypt({ name: "AES-CBC", iv }, key, content));
  } catch (error) {
    if (error.name !== "OperationError") throw error;
    throw new EnvelopeDamaged();
  }
}

export async function importAesKey(raw, usages) {
  try {
    return await subtle().importKey("raw", raw, "AES-CBC", false, usages);
  } catch (error) {
    if (raw.length !== 24 || error instanceof EnvelopeError) throw error;
    throw new BrowserUnable("This browser does not decrypt AES-192. Use Firefox, or openssl smime -decrypt.");
  }
}

export function subtle() {
  if (globalThis.crypto?.subtle) return globalThis.crypto.subtle;
  throw new BrowserUnable(
    "Browsers decrypt on secure pages only. Open this page with https:// instead of http://, or use the offline page.",
  );
}

