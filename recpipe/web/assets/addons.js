/** Configure Add-ons: what was pasted or chosen is told at once, and a key is proved where it is. */

import { EnvelopeError, decryptAll } from "./envelope.js";
import { KeptKey } from "./kept-key.js";
import { KeyBox } from "./keybox.js";
import { secretIn } from "./secrets.js";
import { policy } from "./trusted.js";
import { t } from "./words.js";

const at = (id) => document.getElementById(id);

// --- the certificate: a file, or pasted text -------------------------------------------------------------------

const LARGEST = 128 * 1024; // as keys.pasted
const EXPOSED =
  t("If it was ever shown or copied where others could see it, treat it as exposed and make a new pair. " +
  "Give mypublickey.pem, the file that begins with BEGIN CERTIFICATE.");

const paste = at("paste");
if (paste) {
  const { pasted, file } = paste.elements;
  let timer = 0;
  let asked = 0;
  let warned = false;
  let judged = null; // the file that may be sent
  const submit = paste.querySelector("button[type=submit]");

  /** Whatever is said now stays, although the field is empty. */
  const refuse = (text) => {
    asked++; // an answer under way is about something else
    warned = true;
    submit.disabled = false;
    at("checked").replaceChildren(box("bad", text));
  };

  /** A private key is not even sent to be refused: the field is emptied before anything else happens. */
  const refusesPasted = () => {
    if (!secretIn(new TextEncoder().encode(pasted.value))) return false;
    pasted.value = "";
    refuse(t("That was a private key. It was not sent, and it is not in the field any more. {advice}", { advice: EXPOSED }));
    return true;
  };

  const look = () => {
    clearTimeout(timer);
    if (refusesPasted()) return;
    if (pasted.value.trim()) {
      file.value = "";
      warned = false;
      timer = setTimeout(check, 250);
    } else if (!warned) {
      at("checked").replaceChildren();
    }
  };

  /** Judge the chosen file here; only what is no secret is shown to the server. */
  const lookAtFile = async () => {
    clearTimeout(timer);
    const [chosen] = file.files;
    if (!chosen) return;
    pasted.value = "";
    const why = await secretOf(chosen).catch(() => t("{file} cannot be read. Choose it again.", { file: chosen.name }));
    if (file.files[0] !== chosen) return;
    if (why) {
      file.value = "";
      refuse(why);
    } else {
      judged = chosen;
      warned = false;
      await check();
    }
  };

  pasted.addEventListener("input", look);
  file.addEventListener("change", lookAtFile);
  paste.addEventListener("submit", async (event) => {
    if (refusesPasted()) event.preventDefault();
    const [chosen] = file.files;
    if (!chosen || chosen === judged) return;
    event.preventDefault(); // faster than this script had looked
    await lookAtFile();
    if (file.files[0] && !submit.disabled) paste.requestSubmit();
  });

  at("drop-hint").hidden = false;
  const dragging = (event, over) => {
    if (!event.dataTransfer?.types.includes("Files")) return false;
    event.preventDefault();
    paste.classList.toggle("dropping", over);
    return true;
  };
  addEventListener("dragover", (event) => dragging(event, true));
  addEventListener("dragleave", (event) => dragging(event, Boolean(event.relatedTarget)));
  addEventListener("drop", async (event) => {
    if (!dragging(event, false)) return;
    if (event.dataTransfer.files.length !== 1) return refuse(t("Drop one file alone: the certificate."));
    file.files = event.dataTransfer.files;
    await lookAtFile();
  });

  if (file.files.length) lookAtFile(); // somebody was faster than this script
  else if (pasted.value) look();

  async function check() {
    const mine = ++asked;
    try {
      const answer = await fetch(paste.dataset.check, { method: "POST", body: new FormData(paste), headers: { "x-part": "results" } });
      const text = await answer.text();
      if (mine !== asked) return;
      at("checked").innerHTML = policy.createHTML(text);
      submit.disabled = Boolean(at("checked").querySelector(".bad"));
    } catch {
      submit.disabled = false; // the server says it again when it is added
    }
  }
}

/** Why a file must not leave this computer, or "". @param {File} chosen */
async function secretOf(chosen) {
  if (chosen.size > LARGEST) return t("{file} is larger than 128 KiB; a certificate has one or two. Choose another file.", { file: chosen.name });
  const secret = secretIn(new Uint8Array(await chosen.arrayBuffer()));
  if (!secret) return "";
  if (secret === "private key") return t("{file} holds a private key. It was not sent. {advice}", { file: chosen.name, advice: EXPOSED });
  return t("{file} is a {secret} with a private key inside, so it was not sent. ", { file: chosen.name, secret }) +
    (secret === "PKCS#12" ? t("Keep it: it opens sealed recordings, under Call Recordings and when you prove your key. ") : "") +
    t("Here its certificate alone is wanted. On Windows: Manage user certificates (certmgr.msc), All Tasks, Export, " +
    "“No, do not export the private key”; then give the .cer.");
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
  const keys = new KeyBox(at("keybox"), undefined, new KeptKey(document.body.dataset));
  const prove = at("prove");
  keys.addEventListener("change", async () => {
    if (!keys.key) return;
    at("proving").textContent = t("Opening a challenge…");
    try {
      const answer = await fetch(here.dataset.challenge, { method: "POST", body: new URLSearchParams({ service: prove.elements.service.value }) });
      if (!answer.ok) throw new Error(String(answer.status));
      const opened = await decryptAll(new Uint8Array(await answer.arrayBuffer()), keys.key);
      const [, code] = /^ {4}(\S+)$/m.exec(new TextDecoder().decode(opened)) ?? [];
      if (!code) throw new Error("no code in the challenge");
      prove.elements.answer.value = code;
      keys.forget();
      at("proving").textContent = t("It fits. Sending the code…");
      prove.requestSubmit();
    } catch (error) {
      at("proving").replaceChildren(box("bad", error instanceof EnvelopeError
        ? t("This private key does not belong to the certificate below. Choose the one that was made with it.")
        : t("No challenge could be had. Reload the page and try again.")));
    }
  });
}
