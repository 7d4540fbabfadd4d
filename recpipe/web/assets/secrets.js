/**
 * Private keys where a certificate is asked for: told apart in the page, so that none is sent even to be refused.
 *
 * The server judges what it gets by rules of its own (keys.pasted); here it is enough to know what must stay.
 */

import { EnvelopeError, INTEGER, OCTETS, OID, Reader, SEQUENCE, latin1 } from "./envelope-base.js";

/** @typedef {""|"private key"|"PKCS#12"|"key store"} Secret */

/**
 * The secret that a file or a pasted text holds.
 * @param {Uint8Array} bytes
 * @returns {Secret} "": none
 */
export function secretIn(bytes) {
  const text = latin1(bytes.filter((byte) => byte)); // UTF-16 too
  if (/PRIVATE KEY|PuTTY-User-Key-File|AGE-SECRET-KEY-1|openssh-key-v1|privateExponent *:|<RSAKeyValue>[^]*<D>/i.test(text)) return "private key";
  if (/-BEGIN PKCS12-/.test(text)) return "PKCS#12";
  if (/^(\xfe\xed\xfe\xed|\xce\xce\xce\xce)/.test(latin1(bytes))) return "key store"; // Java's
  if (bytes[0] === SEQUENCE) return secretInDer(bytes);
  for (const [run] of text.matchAll(/[A-Za-z0-9+/\s]{64,}/g)) {
    const secret = secretInBase64(run.replace(/\s/g, ""));
    if (secret) return secret;
  }
  return "";
}

/** Base64 with or without BEGIN and END, also where other letters stand in front of it. */
function secretInBase64(letters) {
  for (const start of new Set([0, letters.indexOf("MI"), letters.indexOf("LS0tLS1CRUdJTi")])) {
    if (start < 0) continue;
    const whole = letters.slice(start, letters.length - ((letters.length - start) % 4));
    const bytes = Uint8Array.from(atob(whole), (letter) => letter.charCodeAt(0));
    if (bytes[0] !== SEQUENCE) {
      if (/BEGIN [A-Z ]*PRIVATE KEY|openssh-key-v1/.test(latin1(bytes))) return "private key";
      continue;
    }
    const secret = secretInDer(bytes);
    if (secret) return secret;
  }
  return "";
}

/** Whatever else is there, one secret spoils it: what follows the first element is looked at as well. @returns {Secret} */
function secretInDer(bytes) {
  for (let at = 0; bytes[at] === SEQUENCE; ) {
    const secret = secretInElement(bytes.subarray(at));
    if (secret) return secret;
    try {
      const walked = new Reader(bytes, at);
      walked.element(SEQUENCE);
      at = walked.at;
    } catch {
      break; // not written as DER is
    }
  }
  return "";
}

/** Judged by the first elements alone, so that a cut one is told as well. @returns {Secret} */
function secretInElement(bytes) {
  const tags = [];
  try {
    const outer = new Reader(bytes).enter(SEQUENCE);
    outer.end = Math.min(outer.end, bytes.length);
    while (tags.length < 3) {
      tags.push(outer.peek());
      if (tags.at(-1) === SEQUENCE && tags.length === 1) {
        const inner = outer.enter(SEQUENCE);
        if (inner.peek() === OID) tags[0] = OID; // an algorithm: what follows is protected, or a public key
      } else {
        outer.element(tags.at(-1));
      }
    }
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
  }
  const begins = (...wanted) => wanted.every((tag, n) => tags[n] === tag);
  if (begins(INTEGER, SEQUENCE, OCTETS)) return "private key"; // PKCS#8
  if (begins(INTEGER, INTEGER, INTEGER)) return "private key"; // PKCS#1, DSA
  if (begins(INTEGER, OCTETS)) return "private key"; // EC
  if (begins(OID, OCTETS)) return "private key"; // PKCS#8, protected
  if (begins(INTEGER, SEQUENCE)) return "PKCS#12";
  return "";
}
