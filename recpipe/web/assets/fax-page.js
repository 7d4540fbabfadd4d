/** A sealed fax, opened with the person's key and drawn page by page. Nothing of what is opened leaves this page. */

import { EnvelopeError } from "./envelope.js";
import { pagesOf } from "./fax.js";
import { KeptKey } from "./kept-key.js";
import { KeyBox } from "./keybox.js";
import { Sealed, factsOf } from "./sound.js";
import { t } from "./words.js";

const WIDTH = 1240; // dots of a page that is shown, as the server draws it: A4 at 150 dpi
const MOST_HEIGHT = 12_000;
const at = (id) => document.getElementById(id);
const list = at("fax-pages");
const keyBox = new KeyBox(at("keybox"), undefined, new KeptKey(document.body.dataset));
let sealed = null;
let opened = null; // blob

const say = (element, text) => {
  element.textContent = text;
  element.hidden = !text;
};

async function open() {
  const { key } = keyBox;
  say(at("fax-error"), "");
  say(at("fax-state"), t("Opening…"));
  try {
    sealed = await Sealed.open(factsOf(list), key);
    const blob = await sealed.whole(() => {});
    if (key !== keyBox.key) return; // forgotten meanwhile
    opened = blob;
    at("fax-save").hidden = false;
    show(pagesOf(new Uint8Array(await blob.arrayBuffer())));
    say(at("fax-state"), t("✓ Opened here, and compared with the SHA-256 noted when it was received: every byte is the same."));
  } catch (error) {
    say(at("fax-state"), "");
    say(at("fax-error"), error instanceof EnvelopeError ? error.message : t("This fax cannot be shown. Save it decrypted."));
    if (!(error instanceof EnvelopeError)) console.warn(error);
  }
}

/** Draw what is near to what is looked at, and let the others go: a fax may have a thousand pages. */
function show(pages) {
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) target.width = 0;
      else if (!target.width) draw(target, pages[target.dataset.page]);
    }
  }, { rootMargin: "100%" });
  list.replaceChildren(...pages.map((page, n) => {
    const item = document.createElement("li");
    const head = document.createElement("h2");
    const canvas = document.createElement("canvas");
    const [width, height] = sizeOf(page);
    head.textContent = t("Page {n}", { n: n + 1 });
    canvas.width = 0;
    canvas.dataset.page = n;
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", t("Page {n} of {count}, as a picture", { n: n + 1, count: pages.length }));
    item.append(head, canvas);
    watcher.observe(canvas);
    return item;
  }));
}

function sizeOf({ width, height, ratio }) {
  const wide = Math.min(WIDTH, width);
  return [wide, Math.max(1, Math.min(MOST_HEIGHT, Math.round((height * ratio * wide) / width)))];
}

function draw(canvas, page) {
  const dots = new ImageData(page.width, page.height);
  const words = new Uint32Array(dots.data.buffer).fill(0xffffffff);
  const whole = page.paint((line, from, to) => words.fill(0xff000000, line * page.width + from, line * page.width + to));
  const full = new OffscreenCanvas(page.width, page.height);
  full.getContext("2d").putImageData(dots, 0, 0);
  [canvas.width, canvas.height] = sizeOf(page);
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(full, 0, 0, canvas.width, canvas.height);
  if (!whole && !canvas.nextElementSibling) {
    const hint = document.createElement("p");
    hint.className = "notice warned";
    hint.textContent = t("Parts of this page cannot be decoded.");
    canvas.after(hint);
  }
}

function close() {
  sealed?.close();
  sealed = opened = null;
  list.replaceChildren();
  at("fax-save").hidden = true;
  say(at("fax-error"), "");
  say(at("fax-state"), t("This fax is sealed. Choose your private key; its pages are shown then."));
}

keyBox.addEventListener("change", () => (keyBox.key ? open() : close()));
at("fax-save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(opened);
  link.download = list.dataset.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});
close();
