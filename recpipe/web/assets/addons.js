/** Configure Add-ons: what was pasted is told at once, and a key is proved where it is. */

import { EnvelopeError, decryptAll } from "./envelope.js";
import { KeyBox } from "./keybox.js";

const at = (id) => document.getElementById(id);
const policy = globalThis.trustedTypes?.createPolicy("recpipe", { createHTML: (text) => text }) ?? { createHTML: (text) => text };

// --- what was pasted ------------------------------------------------------------------------------------------

const paste = at("paste");
if (paste) {
  let timer = 0;
  let asked = 0;
  let warned = false;
  const submit = paste.querySelector("button[type=submit]");

  /** A private key is not even sent to be refused: the field is emptied before anything else happens. */
  const refusesPrivateKey = () => {
    if (!/PRIVATE KEY-----/.test(paste.elements.pasted.value)) return false;
    paste.elements.pasted.value = "";
    at("checked").replaceChildren(box("bad",
      "That was a private key. It was not sent, and it is not in the field any more. If it was ever shown or copied where others " +
      "could see it, treat it as exposed and make a new pair. Paste mypublickey.pem, the file that begins with BEGIN CERTIFICATE."));
    return true;
  };

  const look = () => {
    clearTimeout(timer);
    if (refusesPrivateKey()) {
      warned = true; // and stays, although the field is empty now
    } else if (paste.elements.pasted.value.trim()) {
      warned = false;
      timer = setTimeout(check, 250);
    } else if (!warned) {
      at("checked").replaceChildren();
    }
  };
  paste.elements.pasted.addEventListener("input", look);
  paste.addEventListener("submit", (event) => {
    if (refusesPrivateKey()) event.preventDefault();
  });

  if (paste.elements.pasted.value) look(); // somebody was faster than this script

  async function check() {
    const mine = ++asked;
    try {
      const answer = await fetch(paste.dataset.check, { method: "POST", body: new URLSearchParams(new FormData(paste)), headers: { "x-part": "results" } });
      const text = await answer.text();
      if (mine !== asked) return;
      at("checked").innerHTML = policy.createHTML(text);
      submit.disabled = Boolean(at("checked").querySelector(".bad"));
    } catch {
      submit.disabled = false; // the server says it again when it is added
    }
  }
}

function box(kind, text) {
  const made = document.createElement("p");
  made.className = `notice ${kind}`;
  made.textContent = text;
  return made;
}

// --- the proof, here ------------------------------------------------------------------------------------------

const here = at("prove-here");
if (here) {
  here.hidden = false;
  const keys = new KeyBox(at("keybox"));
  const prove = at("prove");
  keys.addEventListener("change", async () => {
    if (!keys.key) return;
    at("proving").textContent = "Opening a challenge…";
    try {
      const answer = await fetch(here.dataset.challenge, { method: "POST", body: new URLSearchParams({ service: prove.elements.service.value }) });
      if (!answer.ok) throw new Error(String(answer.status));
      const opened = await decryptAll(new Uint8Array(await answer.arrayBuffer()), keys.key);
      const [, code] = /^ {4}(\S+)$/m.exec(new TextDecoder().decode(opened)) ?? [];
      if (!code) throw new Error("no code in the challenge");
      prove.elements.answer.value = code;
      keys.forget();
      at("proving").textContent = "It fits. Sending the code…";
      prove.requestSubmit();
    } catch (error) {
      at("proving").replaceChildren(box("bad", error instanceof EnvelopeError
        ? "This private key does not belong to the certificate below. Choose the one that was made with it."
        : "No challenge could be had. Reload the page and try again."));
    }
  });
}
