/** What of an <audio> is heard: how loud, and which of two voices. */

import { t } from "./words.js";

const KEPT = "volume";

/** Keep the volume over pages, where storage is not forbidden. @param {HTMLMediaElement} audio @param {HTMLInputElement} slider 0 to 100 */
export function governVolume(audio, slider) {
  try {
    const kept = Number(localStorage.getItem(KEPT) ?? 100);
    if (kept > 0 && kept <= 100) slider.value = kept;
  } catch {
    // It is as loud as can be then.
  }
  const set = () => {
    audio.volume = slider.value / 100;
    audio.muted = slider.value === "0";
    slider.setAttribute("aria-valuetext", audio.muted ? t("Muted") : `${slider.value} %`);
  };
  slider.addEventListener("input", () => {
    set();
    try {
      localStorage.setItem(KEPT, slider.value);
    } catch {
      // It holds for this page then.
    }
  });
  set();
  let before = 100;
  /** Mute, or be as loud as before. */
  return () => {
    if (slider.value !== "0") before = slider.value;
    slider.value = slider.value === "0" ? before : 0;
    set();
  };
}

/**
 * Lead a source of two channels to where it is heard.
 * @param {AudioNode} source
 * @param {"both" | "left" | "right"} side one voice alone is heard in both ears
 */
export function route(source, side) {
  source.disconnect();
  const { context } = source;
  if (side === "both") return source.connect(context.destination);
  const voices = context.createChannelSplitter(2);
  const ears = context.createChannelMerger(2);
  const voice = side === "left" ? 0 : 1;
  source.connect(voices);
  for (const ear of [0, 1]) voices.connect(ears, voice, ear);
  return ears.connect(context.destination);
}

/** Hears one voice of an <audio>; until somebody asks for that, the <audio> goes its own way. */
export class Voices {
  #audio;
  #source = null;

  /** @param {HTMLMediaElement} audio */
  constructor(audio) {
    this.#audio = audio;
  }

  /** @param {"both" | "left" | "right"} side */
  hear(side) {
    if (!this.#source && side === "both") return;
    this.#source ??= new AudioContext().createMediaElementSource(this.#audio);
    this.#source.context.resume();
    route(this.#source, side);
  }
}
