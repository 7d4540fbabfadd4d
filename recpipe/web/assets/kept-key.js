/**
 * A private key that a person wants kept from page to page of this tab, while they are signed in. Decision 33 has the
 * attack model.
 *
 * The key is in `sessionStorage`, which is the tab's own, encrypted under an AES key in IndexedDB that no script can read.
 * Neither is of use without the other.
 */

import { RsaPrivateKey } from "./envelope.js";
import { DATABASE, fits, forget, kept, put } from "./kept-place.js";

const STORE = "keys";

export class KeptKey {
  #page;

  /** @param {DOMStringMap} page of the body: whose session it is, and how many seconds it may be left untouched */
  constructor(page) {
    this.#page = page;
  }

  /**
   * @param {RsaPrivateKey} key
   * @param {string} name of its file, for the person
   * @throws {DOMException} the browser keeps nothing, as in some private windows
   */
  async keep(key, name) {
    const wrapping = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
    const id = crypto.randomUUID();
    await inStore("readwrite", (store) => store.put(wrapping, id));
    const { iv, sealed } = await key.sealed(wrapping, this.#bound(id));
    put({ id, name, session: this.#page.session, iv: toBase64(iv), sealed: toBase64(sealed) });
  }

  /** @returns {Promise<?{key: RsaPrivateKey, name: string}>} what was kept; null, and nothing left, where it may not be used */
  async recall() {
    const found = kept();
    if (!found) return null;
    try {
      if (!fits(found, this.#page)) throw new Error("of another session, or too old");
      const wrapping = await inStore("readonly", (store) => store.get(found.id));
      const key = await RsaPrivateKey.opened(wrapping, fromBase64(found.iv), fromBase64(found.sealed), this.#bound(found.id));
      return { key, name: found.name };
    } catch {
      await forget();
      return null;
    }
  }

  /** Forget it, in all tabs. */
  forget() {
    return forget();
  }

  #bound(id) {
    return new TextEncoder().encode(`${this.#page.session} ${id}`);
  }
}

/** Do one thing with the store; no connection stays open, which would keep others from deleting it. */
async function inStore(mode, act) {
  const database = await new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

const toBase64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
