/**
 * The place where a person gives the private key: read in the page, kept in a variable, sent nowhere.
 *
 *     const box = new KeyBox(document.getElementById("keybox"));
 *     box.addEventListener("change", () => box.key);
 *
 * Where the page may keep it (kept-key.js), the person is asked whether it should.
 */

import { EnvelopeError, PassphraseNeeded, PassphraseWrong, loadPrivateKey } from "./envelope.js";
import { t } from "./words.js";

const LARGEST = 128 * 1024; // a .pfx may hold a chain of certificates too

export class KeyBox extends EventTarget {
  /** @type {import("./envelope.js").RsaPrivateKey|null} */
  key = null;
  #waiting = null; // { name, bytes } of a protected file until its passphrase is typed
  #part;
  #keeper;

  /**
   * @param {HTMLElement} box as in part-keybox.html
   * @param {(file: File) => Promise<void>} [chosen] what to do with a file that is chosen; by default `take`
   * @param {import("./kept-key.js").KeptKey} [keeper] keeps it from page to page, if the person wants it
   */
  constructor(box, chosen, keeper) {
    super();
    this.#keeper = keeper;
    this.#part = (selector) => box.querySelector(selector);
    this.#show(".key-choice");
    if (!globalThis.crypto?.subtle) {
      this.fail(t("This page was not loaded over https, so the browser does not decrypt here. Use https, or the offline page."));
      return;
    }
    this.#part("#key-file").addEventListener("change", async (event) => {
      const files = [...event.target.files];
      event.target.value = ""; // the same file may be chosen again
      if (files.length) await (chosen ?? this.take.bind(this))(files[0]);
    });
    this.#part(".key-passphrase").addEventListener("submit", async (event) => {
      event.preventDefault();
      await this.#load(this.#waiting.name, this.#waiting.bytes, this.#part("#key-passphrase").value);
    });
    this.#part(".key-cancel").addEventListener("click", () => this.forget());
    this.#part(".key-forget").addEventListener("click", () => this.forget());
    if (keeper) this.#offerToKeep();
  }

  /** @param {File} file */
  async take(file) {
    if (file.size > LARGEST) {
      this.fail(t("{file} is too large for a private key. Choose the .pfx, or the file that begins with BEGIN PRIVATE KEY.", { file: file.name }));
      return;
    }
    await this.#load(file.name, new Uint8Array(await file.arrayBuffer()));
  }

  /** Ask whether to keep the key, and take the one that was kept. */
  async #offerToKeep() {
    const keep = this.#part("#key-keep");
    this.#part(".key-keep").hidden = false;
    keep.addEventListener("change", async () => {
      try {
        await (keep.checked ? this.#keeper.keep(this.key, this.#part(".key-name").textContent) : this.#keeper.forget());
      } catch {
        keep.checked = false;
        this.fail(t("This browser keeps nothing here, as in some private windows. Choose the key again on the next page."));
      }
    });
    const kept = await this.#keeper.recall();
    if (!kept || this.key) return;
    keep.checked = true;
    this.#loaded(kept.key, kept.name);
  }

  forget() {
    this.#keeper?.forget();
    if (this.#keeper) this.#part("#key-keep").checked = false;
    this.key = null;
    this.#waiting = null;
    this.#part("#key-passphrase").value = "";
    this.fail("");
    this.#show(".key-choice");
    this.#part("#key-file").focus();
    this.dispatchEvent(new Event("change"));
  }

  /** Point at the place, for somebody who pressed Play first. */
  ask() {
    this.#part("#key-file").focus();
    // Style sheets do not govern what a script scrolls.
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    this.#part("#key-file").closest("section").scrollIntoView({ block: "center", behavior });
  }

  async #load(name, bytes, passphrase) {
    this.fail("");
    const unlock = this.#part(".key-passphrase button");
    unlock.disabled = true; // a password may take seconds
    let key;
    try {
      key = await loadPrivateKey(bytes, passphrase);
    } catch (error) {
      if (error instanceof PassphraseNeeded) {
        this.#waiting = { name, bytes };
        this.#part(".key-waiting").textContent = name;
        this.#show(".key-passphrase");
        this.#part("#key-passphrase").focus();
        return;
      }
      this.fail(`${name}: ${error instanceof EnvelopeError ? error.message : t("this file cannot be read.")}`);
      if (error instanceof PassphraseWrong) this.#part("#key-passphrase").select();
      return;
    } finally {
      unlock.disabled = false;
    }
    this.#waiting = null;
    this.#part("#key-passphrase").value = "";
    this.#loaded(key, name);
  }

  #loaded(key, name) {
    this.key = key;
    this.#part(".key-name").textContent = name;
    this.#part(".key-bits").textContent = this.key.description;
    this.#show(".key-loaded");
    this.dispatchEvent(new Event("change"));
  }

  #show(wanted) {
    for (const state of [".key-choice", ".key-passphrase", ".key-loaded"]) this.#part(state).hidden = state !== wanted;
  }

  /** Say what is wrong with what was given; an empty text takes it back. @param {string} text */
  fail(text) {
    this.#part("#key-error").textContent = text;
    this.#part("#key-error").hidden = !text;
  }
}
