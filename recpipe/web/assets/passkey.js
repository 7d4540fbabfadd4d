
import { t } from "./words.js";
// Forms that a passkey answers: their options are fetched, the browser is asked, and its answer is sent in their place.
// Source: W3C Web Authentication Level 3 sections 5.1.8 and 5.1.9 (the JSON of both ways).

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const named = (one) => ({ ...one, id: bytes(one.id) });

async function answer(options) {
  const publicKey = { ...options, challenge: bytes(options.challenge) };
  if (options.user) {
    publicKey.user = named(options.user);
    publicKey.excludeCredentials = (options.excludeCredentials ?? []).map(named);
    return navigator.credentials.create({ publicKey });
  }
  publicKey.allowCredentials = (options.allowCredentials ?? []).map(named);
  return navigator.credentials.get({ publicKey });
}

function sent(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  const { id, type } = credential;
  return JSON.stringify({ id, rawId: text(credential.rawId), type, response, clientExtensionResults: {} });
}

async function ask(form) {
  const told = form.querySelector("[data-told]");
  told.hidden = true;
  try {
    const options = await fetch(form.dataset.passkey, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const said = await options.json();
    if (!options.ok) throw new Error(said.error);
    form.elements.credential.value = sent(await answer(said));
    // The password was for the options; it need not travel once more.
    for (const field of form.querySelectorAll("input[type=password]")) field.disabled = true;
    form.submit();
  } catch (error) {
    const calm = { NotAllowedError: t("No passkey was used. Try again when you have it at hand."),
      InvalidStateError: t("This device has a passkey of yours already.") };
    told.textContent = calm[error.name] ?? error.message;
    told.hidden = false;
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(form);
  });
}
