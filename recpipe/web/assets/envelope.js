/**
 * Opens sealed recordings (`NAME.mp3.enc`) where the private key is: in the browser of the person who owns it.
 *
 * A sealed recording is a CMS EnvelopedData (RFC 5652 section 6): the audio under AES-CBC, and the AES key once for
 * every certificate under RSA (RSAES-PKCS1-v1_5, RFC 8017 section 7.2). WebCrypto has AES-CBC but not that RSA, so the
 * RSA part is done here with BigInt. No dependency, no network, no DOM: the caller brings the bytes.
 *
 *     const key = await loadPrivateKey(pemBytes, passphrase);
 *     const plain = await decryptAll(encBytes, key);                        // a whole file
 *
 *     const header = await fetchHeader(fetchRange, encSize);                // or any part of a long one
 *     const recording = new RangeDecryptor(header, await unwrapKey(header, key), fetchRange);
 *     const part = await recording.read(1_000_000, 1_100_000);
 *
 * AES-CBC cannot notice every change made to a file: compare the SHA-256 of what comes out with the published one.
 *
 * @typedef {{issuer: Uint8Array, serial: string, encryptedKey: Uint8Array}} Recipient  issuer is DER, serial is hex
 * @typedef {{recipients: Recipient[], algorithm: string, keyBytes: number, iv: Uint8Array, contentOffset: number,
 *            contentLength: number, totalLength: number}} Header  contentLength and totalLength are NaN in streamed BER
 * @typedef {(start: number, endExclusive: number) => Promise<Uint8Array>|Uint8Array} FetchRange  bytes of the `.enc`
 */

import {
  BLOCK, CHUNKS, CONTENT_CIPHERS, CONTEXT_0, CONTEXT_0_PRIMITIVE, END_OF_CONTENTS, INTEGER, OCTETS, RSA, SEQUENCE, SET,
  EnvelopeMalformed, EnvelopeTruncated, EnvelopeUnsupported, NeedMoreBytes, Reader, WrongKeyError,
  decryptCbc, importAesKey, latin1, toHex, withPadding,
} from "./envelope-base.js";

export {
  BrowserUnable, EnvelopeDamaged, EnvelopeError, EnvelopeMalformed, EnvelopeTruncated, EnvelopeUnsupported, KeyUnusable,
  NeedMoreBytes, PassphraseNeeded, PassphraseWrong, WrongKeyError,
} from "./envelope-base.js";
export { RsaPrivateKey, loadPrivateKey } from "./envelope-key.js";
import { t } from "./words.js";

const HEADER_LIMIT = 1 << 20; // some 2,000 recipients; more is an attempt to make us fetch without end
const ENVELOPED_DATA = "1.2.840.113549.1.7.3"; // RFC 5652 section 6.1

/**
 * Read the header of a sealed recording from its first bytes.
 * @param {Uint8Array} bytes the beginning of the `.enc`; 4 KiB are enough for half a dozen recipients
 * @returns {Header}
 * @throws {NeedMoreBytes} with how many; {EnvelopeMalformed}, {EnvelopeUnsupported}
 * Source: RFC 5652 section 6.1; RFC 3370 section 4.2.1 (RSA key transport); RFC 3565 (AES-CBC).
 */
export function readHeader(bytes) {
  if (bytes.length && bytes[0] !== SEQUENCE) {
    throw new EnvelopeMalformed(
      latin1(bytes.subarray(0, 64)).match(/^(-----BEGIN|MIME-Version)/)
        ? t("This file is in text form. Convert it to DER, or open it with openssl smime -decrypt.")
        : t("This is not a sealed recording: choose a file whose name ends in .enc."),
    );
  }
  const file = new Reader(bytes);
  const { body, end, streamed } = file.element(SEQUENCE);
  const contentInfo = new Reader(bytes, body, end);
  if (contentInfo.oid() !== ENVELOPED_DATA) {
    throw new EnvelopeUnsupported("This is a CMS file, but not a sealed recording (EnvelopedData).");
  }
  const enveloped = contentInfo.enter(CONTEXT_0).enter(SEQUENCE);
  enveloped.take(INTEGER);
  if (enveloped.peek() === CONTEXT_0) enveloped.take(CONTEXT_0); // originatorInfo: certificates nobody needs here

  const { body: setBody, end: setEnd, streamed: setStreamed } = enveloped.element(SET);
  if (setStreamed || setEnd > HEADER_LIMIT) throw new EnvelopeUnsupported("The list of recipients is too long.");
  enveloped.need(setEnd);
  const recipients = readRecipients(new Reader(bytes, setBody, setEnd));

  const content = enveloped.enter(SEQUENCE);
  content.oid();
  const cipher = content.enter(SEQUENCE);
  const cipherOid = cipher.oid();
  const [algorithm, keyBytes] = Object.hasOwn(CONTENT_CIPHERS, cipherOid) ? CONTENT_CIPHERS[cipherOid] : [];
  if (!algorithm) {
    throw new EnvelopeUnsupported(
      "The content is encrypted with {cipher}, which browsers do not decrypt. Open it with openssl smime -decrypt.", { cipher: cipherOid },
    );
  }
  const iv = cipher.take(OCTETS).slice();
  if (iv.length !== BLOCK) throw new EnvelopeMalformed("The header is damaged (IV). Download the file again.");

  const chunked = content.peek() === CONTEXT_0;
  const data = content.element(chunked ? CONTEXT_0 : CONTEXT_0_PRIMITIVE);
  const contentLength = chunked ? NaN : data.end - data.body;
  if (!chunked) checkContentLength(contentLength);
  const totalLength = streamed ? NaN : end;
  return { recipients, algorithm, keyBytes, iv, contentOffset: data.body, contentLength, totalLength };
}

/** The RSA recipients with issuer and serial number; others (EC, passwords) are passed over. @returns {Recipient[]} */
function readRecipients(set) {
  const recipients = [];
  while (!set.done) {
    if (set.peek() !== SEQUENCE) {
      set.element(set.peek());
      continue;
    }
    const info = set.enter(SEQUENCE);
    info.take(INTEGER);
    let issuer = new Uint8Array();
    let serial;
    if (info.peek() === SEQUENCE) {
      const rid = info.enter(SEQUENCE);
      const start = rid.at;
      rid.take(SEQUENCE);
      issuer = rid.bytes.slice(start, rid.at);
      serial = toHex(rid.take(INTEGER));
    } else {
      serial = t("key id {id}", { id: toHex(info.take(CONTEXT_0_PRIMITIVE)) });
    }
    const isRsa = info.enter(SEQUENCE).oid() === RSA;
    const encryptedKey = info.take(OCTETS).slice();
    if (isRsa) recipients.push({ issuer, serial, encryptedKey });
  }
  return recipients;
}

function checkContentLength(length) {
  if (length > 0 && length % BLOCK === 0) return;
  throw new EnvelopeMalformed("The file is damaged: its content is not a whole number of blocks. Download it again.");
}

/**
 * Read the header through a range function, asking for more until it is complete.
 * @param {FetchRange} fetchRange
 * @param {number} size of the `.enc` in bytes
 * @returns {Promise<Header>}
 * @throws {EnvelopeTruncated} the header promises more than `size`; otherwise as `readHeader`
 */
export async function fetchHeader(fetchRange, size) {
  let wanted = Math.min(size, 4096);
  for (;;) {
    try {
      const header = readHeader(await fetchRange(0, wanted));
      if (header.totalLength > size) throw new EnvelopeTruncated();
      if (header.totalLength < size) {
        throw new EnvelopeMalformed("The file goes on after its end: bytes were added to it. Download it again.");
      }
      return header;
    } catch (error) {
      if (!(error instanceof NeedMoreBytes)) throw error;
      if (error.bytes > size || error.bytes <= wanted) throw new EnvelopeTruncated();
      if (error.bytes > HEADER_LIMIT) throw new EnvelopeUnsupported("The header of the file is too long.");
      wanted = Math.min(size, error.bytes + 4096);
    }
  }
}

/**
 * Recover the content key. Every recipient is tried: the certificate, and with it issuer and serial, is not at hand.
 * Random bytes pass the whole check about once in 40 million, so a wrong key is told from a right one.
 * (Saying which check failed would help an attacker of a server; here attacker and victim would be the same person.)
 * @param {Header} header
 * @param {RsaPrivateKey} privateKey
 * @returns {Promise<CryptoKey>} not extractable
 * @throws {WrongKeyError}, {KeyUnusable} its parts contradict each other, {BrowserUnable}
 * Source: RFC 8017 section 7.2.2.
 */
export async function unwrapKey(header, privateKey) {
  for (const { encryptedKey } of header.recipients) {
    for (const one of [privateKey, ...privateKey.others]) {
      const message = one.decrypt(encryptedKey);
      const key = message && unpad(message, header.keyBytes);
      if (key) return importAesKey(key, ["encrypt", "decrypt"]);
    }
  }
  throw new WrongKeyError(header.recipients);
}

/** EME-PKCS1-v1_5: 00 02, nonzero filling to the exact place, 00, key. @returns {Uint8Array|null} the key, or null */
function unpad(message, keyBytes) {
  const zero = message.length - keyBytes - 1;
  if (zero < 10 || message[0] !== 0 || message[1] !== 2 || message.indexOf(0, 2) !== zero) return null;
  return message.subarray(zero + 1);
}

/**
 * Open a whole sealed recording, streamed BER included.
 * @param {Uint8Array} bytes the complete `.enc`
 * @param {RsaPrivateKey} privateKey
 * @returns {Promise<Uint8Array>} the recording
 * @throws {EnvelopeTruncated}, {EnvelopeDamaged}, {WrongKeyError} and what `readHeader` throws
 */
export async function decryptAll(bytes, privateKey) {
  const header = await fetchHeader((start, end) => bytes.subarray(start, end), bytes.length);
  const key = await unwrapKey(header, privateKey);
  const { contentOffset, contentLength, iv } = header;
  const content = Number.isNaN(contentLength)
    ? joinChunks(bytes, contentOffset, header.totalLength)
    : bytes.subarray(contentOffset, contentOffset + contentLength);
  return decryptCbc(key, iv, content);
}

/** The octet strings of a constructed one, in a row (X.690 section 8.7.3). */
function joinChunks(bytes, offset, end) {
  const reader = new Reader(bytes, offset, Number.isNaN(end) ? Infinity : end);
  const chunks = [];
  try {
    while (!reader.done && reader.peek() !== END_OF_CONTENTS) {
      if (reader.peek() === CHUNKS) throw new EnvelopeUnsupported("The content is nested in a way not supported.");
      chunks.push(reader.take(OCTETS));
    }
  } catch (error) {
    throw error instanceof NeedMoreBytes ? new EnvelopeTruncated() : error;
  }
  const joined = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  checkContentLength(joined.length);
  return joined;
}

/**
 * Any part of a sealed recording, fetching no more than the ciphertext it needs: a CBC block depends on the block
 * before it alone (NIST SP 800-38A section 6.2).
 */
export class RangeDecryptor {
  #key;
  #fetchRange;
  #plainLength = null;

  /**
   * @param {Header} header
   * @param {CryptoKey} contentKey from `unwrapKey`
   * @param {FetchRange} fetchRange
   * @throws {EnvelopeUnsupported} streamed BER has no place for a given byte; use `decryptAll`
   */
  constructor(header, contentKey, fetchRange) {
    if (Number.isNaN(header.contentLength)) {
      throw new EnvelopeUnsupported("This file was sealed as a stream: it can be opened whole, not in parts.");
    }
    this.header = header;
    this.#key = contentKey;
    this.#fetchRange = fetchRange;
  }

  /**
   * Plaintext bytes start..endExclusive; fewer where the recording ends earlier.
   * @returns {Promise<Uint8Array>}
   * @throws {EnvelopeTruncated}, {EnvelopeDamaged}
   */
  async read(start, endExclusive) {
    if (!(start >= 0 && start <= endExclusive)) throw new RangeError(`not a range: ${start} to ${endExclusive}`);
    const { contentOffset, contentLength } = this.header;
    const blocks = contentLength / BLOCK;
    const first = Math.floor(start / BLOCK);
    const last = Math.min(Math.ceil(endExclusive / BLOCK), blocks);
    if (first >= last) return new Uint8Array();

    const from = Math.max(first - 1, 0) * BLOCK;
    const fetched = await this.#fetchRange(contentOffset + from, contentOffset + last * BLOCK);
    if (fetched.length !== last * BLOCK - from) throw new EnvelopeTruncated();
    const iv = first === 0 ? this.header.iv : fetched.subarray(0, BLOCK);
    const content = first === 0 ? fetched : fetched.subarray(BLOCK);
    const plain = await decryptCbc(this.#key, iv, last === blocks ? content : await withPadding(this.#key, content));
    if (last === blocks) this.#plainLength = first * BLOCK + plain.length;
    return plain.subarray(start - first * BLOCK, endExclusive - first * BLOCK);
  }

  /** Length of the recording in bytes; only its last block tells. @returns {Promise<number>} */
  async plainLength() {
    if (this.#plainLength === null) await this.read(this.header.contentLength - BLOCK, this.header.contentLength);
    return this.#plainLength;
  }
}

