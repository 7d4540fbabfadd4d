/** The player of the recordings page: one at a time, by mouse and by keyboard, waveform where there is one. */

import { EnvelopeError } from "./envelope.js";
import { KeptKey } from "./kept-key.js";
import { KeyBox } from "./keybox.js";
import { Voices, governVolume } from "./mixer.js";
import { silencesOf } from "./silence.js";
import { NotFetched, Sealed, factsOf, prepare, refusalOf } from "./sound.js";
import { drawWave } from "./waveform-canvas.js";
import { t } from "./words.js";

const at = (id) => document.getElementById(id);
const audio = at("audio");
const seek = at("seek");
const wave = at("wave");
const results = at("results");
const SKIP_SECONDS = 10;
const OPENING = t("Opening…");
const PLAY = t("Play");
const PAUSE = t("Pause");
const UNPLAYABLE = t("This browser does not play the format of this recording. Save it and use another player.");

const keyBox = at("keybox") ? new KeyBox(at("keybox"), undefined, new KeptKey(document.body.dataset)) : null;
/**
 * What plays: the legs of a call on one line, or one of them.
 * @type {?{row: HTMLElement, tracks: {facts: object, row: HTMLElement, offset: number, seconds: number, peaks: object[],
 *   silences: ?{from: number, to: number}[]}[], index: number, facts: object, sealed: ?Sealed, from: number, loop: ?{a: number, b: ?number}}}
 */
let current = null;
let opening = 0; // the latest wish counts: a slow opening must not overtake it

const say = (element, text) => {
  element.textContent = text;
  element.hidden = !text;
};
const clock = (seconds) => {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const minutes = String(Math.floor(whole / 60) % 60);
  const rest = String(whole % 60).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${minutes.padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
};

// --- opening --------------------------------------------------------------------------------------------------

/** What a row plays: itself, or the legs of its call one after another. */
function tracksOf(row) {
  const legs = row.dataset.call ? [...results.querySelectorAll(`tr[data-of="${row.dataset.call}"]`)] : [row];
  const rows = legs.filter((one) => one.querySelector(".play")); // a fax has no sound
  const tracks = rows.map((one) => ({ facts: factsOf(one), row: one, offset: 0, seconds: 0, peaks: [], silences: null }));
  for (const track of tracks) track.seconds = track.facts.seconds;
  return lined(tracks);
}

/** Put tracks one behind another. */
function lined(tracks) {
  let offset = 0;
  for (const track of tracks) {
    track.offset = offset;
    offset += track.seconds;
  }
  return tracks;
}

/** Open what a row plays, from a place on its line. */
async function play(row, from = 0) {
  close({ keepPanel: true });
  const tracks = tracksOf(row);
  current = { row, tracks, index: 0, facts: tracks[0].facts, sealed: null, from, loop: null };
  at("player").hidden = false;
  document.body.classList.add("playing");
  for (const track of tracks) if (!track.facts.sealed) drawKept(track);
  reflectLoop();
  const index = trackAt(from);
  await load(index, from - tracks[index].offset);
}

/** Open one of the tracks and play it from a place in it. */
async function load(index, from = 0) {
  const mine = ++opening;
  audio.pause();
  current.sealed?.close();
  const track = current.tracks[index];
  const { facts, row } = track;
  Object.assign(current, { index, facts, sealed: null });
  for (const id of ["player-error", "player-check", "player-state"]) say(at(id), "");
  mark(row);
  const parties = [...row.querySelectorAll(".party > bdi:first-child")].map((party) => party.textContent);
  const leg = current.tracks.length > 1 ? t(" · leg {n} of {count}", { n: index + 1, count: current.tracks.length }) : "";
  at("player-title").textContent = `${parties.join(" → ")} · ${row.dataset.started}${leg}`;
  at("total").textContent = clock(length());
  at("save").hidden = !facts.sealed && !row.querySelector(".download");
  const note = (row.querySelector(".note") ?? current.row.querySelector(".note"))?.getAttribute("href");
  at("note").hidden = !note;
  if (note) at("note").href = note;
  say(at("player-masked"), row.querySelector(".masked")?.textContent.trim() ?? "");
  at("save-word").textContent = facts.sealed ? t("Save decrypted") : t("Save");
  reflectRow();
  reflectVoices();
  if (facts.sealed && !keyBox?.key) {
    current.from = from;
    at("save").hidden = true;
    say(at("player-state"), t("This recording is sealed. Choose your private key; it starts to play then."));
    keyBox?.ask();
    return;
  }
  say(at("player-state"), facts.sealed ? OPENING : "");
  reflectRow(OPENING);
  try {
    let url = facts.url;
    if (facts.sealed) {
      const sealed = await Sealed.open(facts, keyBox.key);
      url = await sealed.source((found) => show(found, track));
      if (mine !== opening) return sealed.close();
      current.sealed = sealed;
      tellCheck();
    }
    audio.src = url;
    if (from) audio.currentTime = from;
    audio.playbackRate = Number(at("speed").value);
    await audio.play();
    if (mine === opening && at("player-state").textContent === OPENING) say(at("player-state"), "");
  } catch (error) {
    if (mine === opening) fail(error);
  } finally {
    if (mine === opening) reflectRow();
  }
}

/** The button of the row says what pressing it does now. */
function reflectRow(word = audio.paused ? PLAY : PAUSE) {
  for (const button of results.querySelectorAll(".play")) {
    const its = current?.row.contains(button) ? word : PLAY;
    if (button.textContent.trim() === its) continue;
    button.querySelector(".word").textContent = its;
    button.querySelector("path").setAttribute("d", its === PAUSE ? "M7 5h3v14H7zM14 5h3v14h-3z" : "M8 5v14l11-7z");
    button.dataset.play ??= button.getAttribute("aria-label");
    button.setAttribute("aria-label", its === PLAY ? button.dataset.play : labelOf(button.closest("tr"), its));
    button.dataset.state = its;
  }
}

/** What a button that pauses, or waits for its recording to open, is called by whoever hears it. */
function labelOf({ classList, dataset: { at: of } }, word) {
  if (classList.contains("whole")) {
    return word === PAUSE ? t("Pause all legs of the call of {at}", { at: of }) : t("Opening all legs of the call of {at}", { at: of });
  }
  if (classList.contains("leg")) return word === PAUSE ? t("Pause the leg of {at}", { at: of }) : t("Opening the leg of {at}", { at: of });
  return word === PAUSE ? t("Pause the call of {at}", { at: of }) : t("Opening the call of {at}", { at: of });
}

function tellCheck() {
  const { sealed } = current;
  at("player-check").className = sealed.verified ? "hint ok" : "hint";
  say(
    at("player-check"),
    sealed.verified
      ? t("✓ Compared with the SHA-256 noted when it was recorded: every byte is the same.")
      : t("A long recording is opened in parts as it plays, so it is not compared with its SHA-256. Save decrypted does that."),
  );
}

function fail(error) {
  audio.pause();
  say(at("player-state"), "");
  if (error?.name === "NotAllowedError") return say(at("player-state"), t("Press Play."));
  if (error?.name === "AbortError") return;
  say(at("player-error"), error instanceof EnvelopeError ? error.message : UNPLAYABLE);
  if (!(error instanceof EnvelopeError)) console.warn(error);
}

function close({ keepPanel = false } = {}) {
  audio.pause();
  audio.removeAttribute("src");
  audio.load();
  current?.sealed?.close();
  current = null;
  seek.value = 0;
  at("position").textContent = "0:00";
  for (const id of ["player-error", "player-check", "player-state"]) say(at(id), "");
  at("save-progress").hidden = true;
  draw();
  reflectRow();
  reflectLoop();
  opening++;
  if (keepPanel) return;
  at("player").hidden = true;
  document.body.classList.remove("playing");
  mark(null);
}

function mark(row) {
  results.querySelector("tr[aria-current]")?.removeAttribute("aria-current");
  row?.setAttribute("aria-current", "true");
}

// --- the list -------------------------------------------------------------------------------------------------

function ready() {
  for (const button of results.querySelectorAll(".play")) button.hidden = false;
  if (!current) return;
  const rowOf = (dataset) =>
    results.querySelector(dataset.call ? `tr[data-call="${dataset.call}"]` : `tr[data-recording="${dataset.recording}"]`);
  current.row = rowOf(current.row.dataset) ?? current.row;
  for (const track of current.tracks) track.row = rowOf(track.row.dataset) ?? track.row;
  mark(rowOf(current.tracks[current.index].row.dataset));
  reflectRow();
}
addEventListener("resultschange", ready);
ready();

results.addEventListener("click", (event) => {
  const button = event.target.closest(".play");
  const narrow = matchMedia("(max-width: 62rem)").matches && !event.target.closest("a, button, input, label, .selecting");
  const row = button || narrow ? event.target.closest("tr[data-recording], tr.whole") : null;
  if (!row?.querySelector(".play")) return;
  // The same call again: go on or pause, where it is open already.
  if (current?.row === row && audio.getAttribute("src") && !audio.error) return toggle();
  play(row);
  // Pressed by the keyboard, which is to be where the call is governed.
  if (button && event.detail === 0) at("toggle").focus();
});
keyBox?.addEventListener("change", () => {
  if (keyBox.key) {
    prepare();
    if (current?.facts.sealed && !current.sealed) load(current.index, current.from);
  } else if (current?.facts.sealed) {
    close();
  }
});

// --- controls -------------------------------------------------------------------------------------------------

const length = () => current?.tracks.reduce((sum, track) => sum + track.seconds, 0) ?? 0;
const position = () => (current?.tracks[current.index].offset ?? 0) + audio.currentTime;
const toggle = () => (audio.paused ? audio.play().catch(fail) : audio.pause());
const trackAt = (seconds) => Math.max(0, current.tracks.findLastIndex((track) => track.offset <= seconds));
const skip = (seconds) => jump(position() + seconds);

/** Go to a place on the line, which may be in another leg. */
function jump(seconds) {
  if (!current) return;
  const place = Math.min(Math.max(0, seconds), length());
  const index = trackAt(place);
  const within = place - current.tracks[index].offset;
  if (index === current.index) audio.currentTime = within;
  else load(index, within);
}

at("toggle").addEventListener("click", () => {
  if (current?.facts.sealed && !current.sealed) load(current.index, current.from);
  else if (audio.ended && current.tracks.length > 1) load(0);
  else toggle();
});
at("back").addEventListener("click", () => skip(-SKIP_SECONDS));
at("ahead").addEventListener("click", () => skip(SKIP_SECONDS));
at("speed").addEventListener("change", () => { audio.playbackRate = Number(at("speed").value); });
const mute = governVolume(audio, at("volume"));

const voices = new Voices(audio);
/** Two voices can be told apart where there are two: by the waveform, which may come later than the sound. */
function reflectVoices() {
  const two = current?.tracks[current.index].peaks.length === 2;
  at("voices").disabled = !two;
  voices.hear(two ? at("voices").value : "both");
}
at("voices").addEventListener("change", reflectVoices);

// --- the calls before and after -------------------------------------------------------------------------------

/** Play the call that stands so many lines below in the list. */
function step(lines) {
  if (!current) return;
  const rows = [...results.querySelectorAll("tr[data-recording]:not(.leg), tr.whole")].filter((row) => row.querySelector(".play"));
  const whole = current.row.dataset.of ? results.querySelector(`tr[data-call="${current.row.dataset.of}"]`) : current.row;
  const next = rows[rows.indexOf(whole) + lines];
  if (!next || !rows.includes(whole)) return say(at("player-state"), lines > 0 ? t("There is no call below on this page.") : t("There is no call above on this page."));
  next.scrollIntoView({ block: "nearest" });
  play(next);
}
at("previous").addEventListener("click", () => step(-1));
at("next").addEventListener("click", () => step(1));

// --- places ---------------------------------------------------------------------------------------------------

/** Mark where to begin again, then from where, then forget both. */
function markLoop() {
  if (!current) return;
  const { loop } = current;
  const here = position();
  if (!loop) current.loop = { a: here, b: null };
  else if (loop.b === null && here > loop.a) loop.b = here;
  else current.loop = null;
  reflectLoop();
  draw();
}
function reflectLoop() {
  const loop = current?.loop;
  at("loop").textContent = !loop ? t("Repeat from here") : loop.b === null ? t("Repeat {a} to here", { a: clock(loop.a) }) : t("Stop repeating");
}
at("loop").addEventListener("click", markLoop);

/**
 * Go back to the first mark, once the second one is played to. Not while it pauses: where somebody has just marked the end,
 * the time is told again, and nothing is to start by that. @returns {boolean} whether it did
 */
function repeat() {
  const loop = current?.loop;
  if (!loop || loop.b === null || !(audio.ended || (position() >= loop.b && !audio.paused))) return false;
  jump(loop.a);
  if (audio.paused) audio.play().catch(fail);
  return true;
}

/** Leave out what is silent, once it is reached. */
function skipSilence() {
  if (!current || !at("skip-silence").checked || audio.paused || audio.seeking) return;
  const track = current.tracks[current.index];
  const silence = track.silences?.find(({ from, to }) => from <= audio.currentTime && audio.currentTime < to - 1);
  if (silence) audio.currentTime = silence.to - 0.25; // so that the first word is whole
}

at("copy-place").addEventListener("click", async () => {
  if (!current) return;
  const address = new URL("/recordings", location);
  address.searchParams.set("call", current.row.dataset.call ?? current.row.dataset.recording);
  address.hash = `t=${Math.floor(position())}`;
  try {
    await navigator.clipboard.writeText(address.href);
    say(at("player-state"), t("Copied the address of {position} in this call. It opens for whoever may see the call.", { position: clock(position()) }));
  } catch {
    say(at("player-state"), address.href);
  }
});

/** Open the place that the address names, where it names one call. */
function openPlace() {
  const seconds = Number(/^#t=(\d{1,6})$/.exec(location.hash)?.[1] ?? NaN);
  const row = results.querySelector("tr.whole") ?? results.querySelector("tr[data-recording]");
  const asked = new URLSearchParams(location.search).get("call");
  if (Number.isNaN(seconds) || !asked || !row?.querySelector(".play")) return;
  play(row, seconds);
}
at("player-close").addEventListener("click", () => {
  const row = current?.row;
  close();
  row?.querySelector(".play")?.focus();
});

let dragging = false;
seek.addEventListener("input", () => {
  dragging = true;
  reflect();
});
seek.addEventListener("change", () => {
  dragging = false;
  jump((seek.value / 1000) * length());
});
// Arrows move by five seconds, whatever the length; the browser's own step would be a thousandth of it.
seek.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageUp: 30, PageDown: -30 }[event.key];
  if (!step) return;
  event.preventDefault();
  skip(step);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=range], [type=checkbox]), select, textarea, dialog")) return;
  const anywhere = { "?": () => at("keys").showModal(), "/": () => at("find").focus() }[event.key];
  if (anywhere) {
    event.preventDefault();
    return anywhere();
  }
  if (!current) return;
  const act = {
    k: toggle, j: () => skip(-SKIP_SECONDS), l: () => skip(SKIP_SECONDS), m: mute, r: markLoop,
    n: () => step(1), p: () => step(-1), Escape: close,
  }[event.key];
  if (act) return act();
  // What buttons, links and the position do with these keys is theirs.
  const free = { " ": toggle, ArrowLeft: () => skip(-5), ArrowRight: () => skip(5) }[event.key];
  if (!free || event.target.type === "range" || (event.key === " " && event.target.closest("button, a, summary, input"))) return;
  event.preventDefault();
  free();
});
at("keys-open").addEventListener("click", () => at("keys").showModal());

for (const name of ["play", "pause", "ended", "emptied"]) {
  audio.addEventListener(name, () => {
    at("toggle").textContent = audio.paused ? PLAY : PAUSE;
    reflectRow();
  });
}
audio.addEventListener("durationchange", () => {
  if (!current || !(Number.isFinite(audio.duration) && audio.duration > 0)) return;
  const track = current.tracks[current.index];
  track.seconds = audio.duration; // what was noted may be a little off
  lined(current.tracks);
  findSilences(track);
});
audio.addEventListener("ended", () => {
  if (!current || repeat()) return;
  if (current.index + 1 < current.tracks.length) load(current.index + 1);
  else if (at("play-on").checked) step(1);
});
audio.addEventListener("timeupdate", () => repeat() || skipSilence());
for (const name of ["timeupdate", "durationchange", "seeked"]) audio.addEventListener(name, () => reflect());
audio.addEventListener("error", async () => {
  if (!current || !audio.getAttribute("src")) return;
  const mine = opening;
  let error = new Error(audio.error?.message);
  if (!current.facts.sealed) {
    // <audio> does not say why; the server does.
    const answer = await fetch(current.facts.url, { method: "HEAD" }).catch(() => null);
    if (!answer) error = new NotFetched("The server or the network is away. Try again.");
    else if (answer.redirected || !answer.ok) error = new NotFetched(await refusalOf(answer));
  }
  if (mine === opening) fail(error);
});
addEventListener("soundbroken", (event) => fail(event.detail));

function reflect() {
  const seconds = length();
  if (!dragging) seek.value = seconds ? (position() / seconds) * 1000 : 0;
  const shown = dragging ? (seek.value / 1000) * seconds : position();
  at("position").textContent = clock(shown);
  at("total").textContent = clock(seconds);
  seek.setAttribute("aria-valuetext", t("{position} of {length}", { position: clock(shown), length: clock(seconds) }));
  draw();
}

// --- saving ---------------------------------------------------------------------------------------------------

at("save").addEventListener("click", async () => {
  const { sealed, facts, row } = current ?? {};
  if (!facts) return;
  if (!facts.sealed) return row.querySelector(".download").click();
  if (!sealed) return;
  const bar = at("save-progress");
  bar.hidden = false;
  at("save").disabled = true;
  say(at("player-error"), "");
  try {
    const blob = await sealed.whole((share) => { bar.value = share; });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = facts.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say(at("player-state"), t("Saved {file}", { file: facts.name }));
    if (current?.sealed === sealed) tellCheck();
  } catch (error) {
    fail(error);
  } finally {
    bar.hidden = true;
    at("save").disabled = false;
  }
});

// --- the waveform ---------------------------------------------------------------------------------------------

async function drawKept(track) {
  try {
    const answer = await fetch(`/recordings/${track.facts.id}/waveform`);
    const { channels } = answer.ok ? await answer.json() : { channels: [] };
    show(channels.map((values) => values.map((value) => value / 128)), track);
  } catch {
    // Without a waveform there is the line to seek on.
  }
}

function show(found, track) {
  track.peaks = found;
  if (!current?.tracks.includes(track)) return;
  findSilences(track);
  reflectVoices();
  draw();
}

/** A waveform that grows as it is heard tells nothing of what was not heard yet: nothing is left out there. */
function findSilences(track) {
  const grows = track === current?.tracks[current.index] && current.sealed?.inParts;
  track.silences = grows ? null : silencesOf(track.peaks, track.seconds);
}

function draw() {
  drawWave(wave, { tracks: current?.tracks ?? [], seconds: length(), share: seek.value / 1000, loop: current?.loop });
}
new ResizeObserver(draw).observe(wave);
addEventListener("themechange", draw);

openPlace();
