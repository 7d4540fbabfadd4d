/**
 * The offline page: private key and sealed files in, audio out, nothing sent. See envelope.js for how opening works.
 */

import { EnvelopeError, RangeDecryptor, WrongKeyError, decryptAll, fetchHeader, unwrapKey } from "./envelope.js";
import { KeyBox } from "./keybox.js";
import { playableOf } from "./gsm.js";
import { Sha256 } from "./sha256.js";
import { ZipUnreadable, filesOf, isZip } from "./zip.js";
import { language, t, tn, translatePage } from "./words.js";

translatePage();

const PIECE = 4 * 1024 * 1024; // decrypted at a time; a multiple of the AES block
const TEXT_LIMIT = 128 * 1024; // keys and short messages are below it
const SUMS_LIMIT = 64 * 1024 * 1024;
const AUDIO_TYPES = {
  mp3: "audio/mpeg", wav: "audio/wav", ogg: "audio/ogg", opus: "audio/ogg", m4a: "audio/mp4", flac: "audio/flac",
};
const UNPLAYABLE = ` ${t("This browser does not play its format: save it and use another player.")}`;

const at = (id) => document.getElementById(id);
const show = (element, visible = true) => { element.hidden = !visible; };
const say = (element, text) => { element.textContent = text; show(element, Boolean(text)); };

const box = new KeyBox(at("keybox"), (file) => take([file]));
let working = Promise.resolve();
const rows = new Set();
const published = new Map(); // base name -> set of SHA-256, from SHA256SUMS files
const told = new Map(); // base name -> what a manifest.json tells of the call

// --- what was given: told apart by content, so that everything can be dropped anywhere --------------------------

async function take(files) {
  box.fail("");
  for (const file of [...files].sort((a, b) => (isSealed(a) ? 1 : 0) - (isSealed(b) ? 1 : 0))) {
    try {
      if (await isZip(file)) await takeZip(file);
      else if (isSealed(file)) addRow(file);
      else if (/sha256/i.test(file.name)) await takeSums(file);
      else if (file.size <= TEXT_LIMIT) await takeKeyOrSums(file);
      else addRow(file);
    } catch (error) {
      box.fail(error instanceof ZipUnreadable
        ? t("{file} cannot be read: {why}.", { file: file.name, why: error.message })
        : t("{file} cannot be read. If it is a folder, choose the files inside it.", { file: file.name }));
    }
  }
}

/** A ZIP of the dashboard: what it tells of its calls first, then its sums, then the recordings, plain ones too. */
async function takeZip(zip) {
  const { files, left } = await filesOf(zip);
  const named = (name) => files.find((file) => file.name === name);
  if (named("manifest.json")) takeManifest(await named("manifest.json").text());
  if (named("SHA256SUMS")) await takeSums(named("SHA256SUMS"));
  const recordings = files.filter((file) => !["manifest.json", "SHA256SUMS"].includes(file.name));
  for (const file of recordings) addRow(new File([file], baseOf(file.name)));
  if (!recordings.length || left) {
    const why = left
      ? tn("{count} file in it cannot be read here; unpack it first", "{count} files in it cannot be read here; unpack it first", left)
      : t("there is no recording in it");
    box.fail(`${zip.name}: ${why}.`);
  };
}

const baseOf = (path) => path.split("/").at(-1);

function takeManifest(text) {
  let calls;
  try {
    calls = JSON.parse(text).recordings;
  } catch {
    return; // what it tells is a help, and nothing is proved by it
  }
  for (const call of Array.isArray(calls) ? calls : []) {
    if (typeof call?.path === "string") told.set(baseOf(call.path), call);
  }
}

/** "27 Mar 2025, 09:25 · 02079460958 Erin → 201 · 1:02", as far as it is known. */
function factsOf(name) {
  const call = told.get(name);
  if (!call) return "";
  const party = (side) => [call[side], call[`${side}_name`]].filter((part) => typeof part === "string" && part).join(" ");
  const zone = typeof call.timezone === "string" ? call.timezone : "UTC";
  const seconds = Math.round(Number(call.duration_seconds) || 0);
  const length = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  return [timeIn(call.started_at, zone), `${party("caller") || t("unknown")} → ${party("callee") || t("unknown")}`, length].filter(Boolean).join(" · ");
}

function timeIn(written, zone) {
  const at = new Date(written);
  if (Number.isNaN(at.getTime())) return "";
  const form = { dateStyle: "medium", timeStyle: "medium" };
  try {
    return at.toLocaleString(language === "en" ? "en-GB" : language, { ...form, timeZone: zone });
  } catch {
    return `${at.toLocaleString(language === "en" ? "en-GB" : language, { ...form, timeZone: "UTC" })} UTC`;
  }
}

const isSealed = (file) => /\.enc$/i.test(file.name);
const bytesOf = async (blob) => new Uint8Array(await blob.arrayBuffer());

async function takeKeyOrSums(file) {
  const bytes = await bytesOf(file);
  if (sumsIn(new TextDecoder().decode(bytes)).length) return takeSums(file);
  return box.take(file);
}

async function takeSums(file) {
  const found = file.size <= SUMS_LIMIT ? sumsIn(await file.text()) : [];
  for (const [name, sum] of found) {
    if (!published.has(name)) published.set(name, new Set());
    published.get(name).add(sum);
  }
  const what = found.length ? tn("{count} checksum to compare with", "{count} checksums to compare with", found.length) : t("no SHA-256 checksum in it");
  say(at("sums-loaded"), `${file.name}: ${what}.`);
  for (const row of rows) if (row.hash) enqueue(row);
}

/** Lines as sha256sum writes them; a leading backslash means that backslash and newline in the name are escaped. */
function sumsIn(text) {
  const found = [];
  for (const [, escaped, sum, name] of text.matchAll(/^(\\?)([0-9a-f]{64}) [ *](.+?)\r?$/gim)) {
    const real = escaped ? name.replace(/\\([\\nr])/g, (_, c) => ({ "\\": "\\", n: "\n", r: "\r" })[c]) : name;
    found.push([real.split("/").at(-1), sum.toLowerCase()]);
  }
  return found;
}

// --- the list --------------------------------------------------------------------------------------------------

function addRow(file) {
  const item = at("row").content.firstElementChild.cloneNode(true);
  const part = (name) => item.querySelector(name);
  const row = {
    file, item, hash: null, sealedHash: null, url: null, waits: true, wrongKey: false, failed: false, removed: false,
    name: file.name.replace(/\.enc$/i, ""),
    state: part(".state"), bar: part("progress"), audio: part("audio"), text: part(".text"), check: part(".check"),
    sum: part(".hash"), save: part(".save"),
  };
  part(".name").textContent = file.name;
  say(part(".facts"), factsOf(file.name));
  row.plain = !isSealed(file);
  part(".remove").setAttribute("aria-label", t("Remove {file}", { file: file.name }));
  part(".remove").addEventListener("click", () => removeRow(row));
  row.audio.setAttribute("aria-label", row.name);
  row.audio.addEventListener("play", () => {
    for (const other of rows) if (other !== row) other.audio.pause();
  });
  row.audio.addEventListener("error", () => {
    show(row.audio, false);
    if (row.url) row.state.textContent += UNPLAYABLE;
  });
  rows.add(row);
  at("list").append(item);
  row.state.textContent = row.plain ? t("Not sealed.") : t("Waiting for the private key.");
  show(at("results"));
  if (box.key || row.plain) enqueue(row);
  summarise();
}

function removeRow(row) {
  rows.delete(row);
  row.removed = true;
  row.audio.pause();
  row.audio.removeAttribute("src");
  if (row.url) URL.revokeObjectURL(row.url);
  if (row.soundUrl) URL.revokeObjectURL(row.soundUrl);
  row.url = null;
  const next = row.item.nextElementSibling ?? row.item.previousElementSibling;
  row.item.remove();
  (next?.querySelector(".remove") ?? at("recordings")).focus();
  show(at("results"), rows.size > 0);
  summarise();
}

/** One file after the other: the progress of each is seen, and memory holds one piece. */
function enqueue(row) {
  working = working.then(async () => {
    if (row.removed) return;
    try {
      if (row.hash === null) await open(row);
      await compare(row);
    } catch (error) {
      fail(row, error);
    }
    if (!row.removed) summarise();
  });
}

async function open(row) {
  const { key } = box;
  const { file } = row;
  if (row.plain && told.has(file.name)) return openPlain(row);
  if (!key) return;
  row.waits = row.wrongKey = row.failed = false;
  row.state.className = "state";
  row.state.textContent = t("Opening…");
  row.bar.value = 0;
  show(row.bar);

  const fetchRange = async (start, end) => bytesOf(file.slice(start, end));
  const header = await fetchHeader(fetchRange, file.size);
  const parts = [];
  const hash = new Sha256();
  let size = 0;
  const add = (part) => {
    hash.update(part);
    parts.push(new Blob([part])); // a blob may live on disk, an array may not
    size += part.length;
  };
  if (Number.isNaN(header.contentLength)) {
    add(await decryptAll(await bytesOf(file), key));
  } else {
    const recording = new RangeDecryptor(header, await unwrapKey(header, key), fetchRange);
    await recording.plainLength(); // a damaged end shows before anything is worked on
    for (let from = 0; from < header.contentLength && !row.removed; from += PIECE) {
      add(await recording.read(from, Math.min(from + PIECE, header.contentLength)));
      row.bar.value = Math.min(1, (from + PIECE) / header.contentLength);
      await new Promise((resolve) => setTimeout(resolve)); // let the page breathe
    }
  }
  show(row.bar, false);
  if (row.removed) return;
  row.hash = hash.hex();
  row.blob = new Blob(parts, { type: typeOf(row.name, await bytesOf(parts[0] ? parts[0].slice(0, 12) : new Blob())) });
  row.size = size;
}

/** A recording that was never sealed, of a ZIP: it is compared and played all the same. */
async function openPlain(row) {
  row.waits = row.failed = false;
  row.hash = await hashOf(row.file);
  row.blob = new Blob([row.file], { type: typeOf(row.name, await bytesOf(row.file.slice(0, 12))) });
  row.size = row.file.size;
}

/** The name tells the type, and where it does not, the first bytes do. */
function typeOf(name, start) {
  const known = AUDIO_TYPES[name.split(".").at(-1).toLowerCase()];
  if (known) return known;
  const letters = String.fromCharCode(...start);
  if (letters.startsWith("RIFF")) return "audio/wav";
  if (letters.startsWith("ID3")) return "audio/mpeg";
  return "application/octet-stream";
}

/** Compare with SHA256SUMS, which may name the recording, the sealed file, or both; then offer what may be offered. */
async function compare(row) {
  if (row.hash === null || row.removed) return;
  const inside = published.get(row.name);
  const sealed = published.get(row.file.name);
  if (sealed && !row.sealedHash) row.sealedHash = await hashOf(row.file);
  const noted = told.get(row.file.name)?.content_sha256;
  const differs = (inside && !inside.has(row.hash)) || (sealed && !sealed.has(row.sealedHash)) || (noted && noted !== row.hash);
  const verdict = differs
    ? t("Does not match SHA256SUMS: this file was damaged or altered. Download it again; do not rely on what it says.")
    : inside || sealed
      ? t("✓ Matches SHA256SUMS: every byte is what was published.")
      : published.size
        ? t("SHA256SUMS does not list this file: nothing is proved about it.")
        : "";
  say(row.check, verdict);
  row.check.className = `check ${differs ? "bad" : inside || sealed ? "good" : "hint"}`;
  row.differs = Boolean(differs);
  row.matches = !differs && Boolean(inside || sealed);
  row.state.textContent = t("Opened, {size}.", { size: sizeText(row.size) }) + (row.audio.error ? UNPLAYABLE : "");
  row.sum.querySelector("code").textContent = row.hash;
  show(row.sum);

  row.url ??= URL.createObjectURL(row.blob);
  row.save.href = row.url;
  row.save.download = row.name;
  row.save.textContent = differs ? t("Save anyway") : t("Save");
  row.save.classList.toggle("doubtful", row.differs);
  row.save.setAttribute("aria-label", `${row.save.textContent} ${row.name}`);
  show(row.save);
  if (row.blob.type.startsWith("audio/")) {
    if (differs) row.audio.pause();
    else if (!row.audio.src) row.audio.src = await soundOf(row);
    show(row.audio, !differs && !row.audio.error);
  } else if (row.size <= TEXT_LIMIT) {
    const text = new TextDecoder().decode(await bytesOf(row.blob));
    if (!/[\0-\x08\x0e-\x1f\ufffd]/.test(text)) say(row.text, text);
  }
}

/** What <audio> plays: what is saved is what was recorded, whatever is played. */
async function soundOf(row) {
  const sound = await playableOf(row.blob);
  if (sound === row.blob) return row.url;
  row.soundUrl = URL.createObjectURL(sound);
  return row.soundUrl;
}

async function hashOf(file) {
  const hash = new Sha256();
  for (let from = 0; from < file.size; from += PIECE) {
    hash.update(await bytesOf(file.slice(from, from + PIECE)));
    await new Promise((resolve) => setTimeout(resolve));
  }
  return hash.hex();
}

function fail(row, error) {
  show(row.bar, false);
  row.failed = true;
  row.wrongKey = error instanceof WrongKeyError;
  row.state.className = "state bad";
  row.state.textContent = messageOf(error);
}

function messageOf(error) {
  if (error instanceof EnvelopeError) return error.message;
  if (error.name === "NotReadableError" || error.name === "NotFoundError") {
    return t("The file cannot be read any more: it was moved or changed. Choose it again.");
  }
  console.error(error);
  return t("This file cannot be opened ({message}). Try openssl smime -decrypt, as shown at the end of this page.", { message: error.message });
}

function summarise() {
  const opened = [...rows].filter((row) => row.hash).length;
  const failed = [...rows].filter((row) => row.failed).length;
  const differing = [...rows].filter((row) => row.differs).length;
  const matching = [...rows].filter((row) => row.matches).length;
  at("summary").textContent =
    tn("{opened} of {count} recording opened", "{opened} of {count} recordings opened", rows.size, { opened }) +
    (failed ? t(", {failed} not", { failed }) : "") + (differing ? t(", {differing} damaged or altered", { differing }) : "") + ".";
  const whole = rows.size > 0 && matching === rows.size;
  at("verdict").className = `check ${differing ? "bad" : whole ? "good" : "hint"}`;
  say(
    at("verdict"),
    differing ? tn(
      "{count} recording not as published: do not rely on it.",
      "{count} recordings not as published: do not rely on them.",
      differing,
    )
      : whole ? tn(
        "✓ {matching} of {count} opened, and it matches SHA256SUMS.",
        "✓ {matching} of {count} opened, and all match SHA256SUMS.",
        rows.size,
        { matching },
      )
        : matching ? t("{matching} of {size} match SHA256SUMS so far.", { matching, size: rows.size }) : "",
  );
  at("announcement").textContent = rows.size ? at("summary").textContent : t("The list is empty.");
  show(at("save-all"), opened - differing > 1);
  show(at("print"), opened > 0);
}

const tenths = (number) => number.toLocaleString(language, { minimumFractionDigits: 1, maximumFractionDigits: 1, useGrouping: false });

function sizeText(bytes) {
  if (bytes < 1000) return tn("{count} byte", "{count} bytes", bytes);
  return bytes < 1e6 ? `${tenths(bytes / 1e3)} kB` : `${tenths(bytes / 1e6)} MB`;
}

// --- what the person does --------------------------------------------------------------------------------------

for (const id of ["recordings", "sums"]) {
  at(id).addEventListener("change", async (event) => {
    const files = [...event.target.files];
    event.target.value = ""; // the same file may be chosen again
    await take(files);
  });
}
box.addEventListener("change", () => {
  if (!box.key) return;
  at("keybox").querySelector(".key-forget").focus();
  for (const row of rows) if (row.waits || row.wrongKey) enqueue(row);
  summarise();
});
at("print").addEventListener("click", () => print());
at("remove-all").addEventListener("click", () => [...rows].forEach(removeRow));
at("save-all").addEventListener("click", () => {
  for (const row of rows) if (row.url && !row.differs) row.save.click();
});

let dragDepth = 0;
const drag = (change) => (event) => {
  event.preventDefault();
  dragDepth = Math.max(0, change(dragDepth));
  show(at("drop-veil"), dragDepth > 0);
};
addEventListener("dragenter", drag((depth) => depth + 1));
addEventListener("dragleave", drag((depth) => depth - 1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  drag(() => 0)(event);
  take(event.dataTransfer.files);
});

if (!globalThis.crypto?.subtle) {
  box.fail(""); // it tells of https, which a saved page has not
  say(
    at("unable"),
    t("This browser does not decrypt here. Save this page to a file, then open that file in a current browser."),
  );
}
