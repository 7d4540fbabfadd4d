/** What every page has: menu, light and dark, copy buttons, confirmations, codes out of links. */

import { watch } from "./kept-place.js";
import { t } from "./words.js";

const root = document.documentElement;

const menuButton = document.querySelector(".menu-button");
menuButton?.addEventListener("click", () => {
  const open = menuButton.getAttribute("aria-expanded") !== "true";
  menuButton.setAttribute("aria-expanded", String(open));
  document.getElementById("menu").classList.toggle("open", open);
});

for (const button of document.querySelectorAll("[data-unfolds]")) {
  button.addEventListener("click", () => {
    const open = document.getElementById(button.dataset.unfolds).classList.toggle("unfolded");
    button.setAttribute("aria-expanded", String(open));
  });
}

const theme = document.getElementById("theme");
if (theme) {
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // It holds for this page then.
    }
    dispatchEvent(new Event("themechange"));
  });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent.trim();
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = t("Copied");
    } catch {
      button.textContent = t("Select it and copy");
      getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    }
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

for (const button of document.querySelectorAll("[data-save]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const lines = [...document.getElementById(button.dataset.save).children].map((line) => `${line.textContent.trim()}\n`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "text/plain" }));
    link.download = button.dataset.as;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

for (const form of document.querySelectorAll("form[data-confirm]")) {
  form.addEventListener("submit", (event) => {
    if (!confirm(form.dataset.confirm)) event.preventDefault();
  });
}

for (const form of document.querySelectorAll("form[data-submit-on-change]")) {
  form.querySelector("button")?.classList.add("heard");
  form.addEventListener("change", () => form.requestSubmit());
}

// What roles and actions come to, for those that are most wanted.
const presets = document.querySelector("[data-presets]");
if (presets) {
  presets.hidden = false;
  presets.addEventListener("click", ({ target }) => {
    const { role, actions } = target.closest("button")?.dataset ?? {};
    if (role === undefined) return;
    document.getElementById("role").value = role;
    const form = presets.closest("form");
    const wanted = actions.split(" ");
    for (const box of form.querySelectorAll("input[name^='action-']")) {
      const its = box.closest(".grant")?.querySelector("input[name=tenant]");
      if (!its || its.checked) box.checked = wanted.includes(box.value);
    }
  });
}

for (const field of document.querySelectorAll("[data-filter]")) {
  field.closest("[data-filter-field]").hidden = false;
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const line of document.getElementById(field.dataset.filter).children) {
      line.hidden = !line.textContent.toLowerCase().includes(wanted) && !line.querySelector(":checked");
    }
  });
}

// The secret of a link is behind the #: browsers do not send that part, so it is in nobody's log.
const fromFragment = document.querySelector("[data-from-fragment]");
const secretOfLink = () => (location.hash.length > 20 ? decodeURIComponent(location.hash.slice(1)) : "");

function takeSecret() {
  fromFragment.querySelector("input").value = secretOfLink();
  fromFragment.hidden = true;
  history.replaceState(null, "", location.pathname);
}

if (fromFragment && secretOfLink()) takeSecret();
// Of another link to the same page only that part is new, so the browser stays on the page that it has.
addEventListener("hashchange", () => {
  if (!secretOfLink()) return;
  if (fromFragment) takeSecret();
  else if (document.querySelector("[data-by-link]")) location.replace(`${location.pathname}?${Date.now()}${location.hash}`);
});

// After a refused form, the first thing to read is why.
document.getElementById("problem")?.scrollIntoView({ block: "nearest" });

watch(document.body.dataset);

// A page that nobody has touched for as long as a session lasts goes back to the server, which says whether it may still be
// shown: what a session has shown does not stay in its tab when it ended by time.
const idleSeconds = Number(document.body.dataset.idle);
if (idleSeconds) {
  let touchedAt = Date.now();
  for (const touch of ["pointerdown", "keydown", "input", "wheel", "scroll", "timeupdate"]) {
    addEventListener(touch, () => { touchedAt = Date.now(); }, { capture: true, passive: true });
  }
  const look = () => {
    if (Date.now() - touchedAt > idleSeconds * 1000) location.replace(location.pathname + location.search);
  };
  setInterval(look, 20_000);
  document.addEventListener("visibilitychange", look);
  addEventListener("pageshow", look);
}
