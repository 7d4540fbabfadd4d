/** Search as you type: the list is fetched and exchanged, the address always says what is shown. */

import { policy } from "./trusted.js";

const form = document.getElementById("search");
const results = document.getElementById("results");
const announcement = document.getElementById("announcement");
const WAIT_MS = 220;

let running = null;
let timer = 0;

function address(path) {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value.trim() && !(name === "match" && value === "ending")) query.set(name, value.trim());
  }
  if (!query.has("number")) query.delete("match");
  return query.size ? `${path}?${query}` : path;
}

async function show(url, { push = false, focus = false } = {}) {
  running?.abort();
  const mine = (running = new AbortController());
  results.setAttribute("aria-busy", "true");
  let text;
  try {
    const answer = await fetch(url.replace("/recordings", "/recordings/results"), {
      headers: { "x-part": "results" },
      signal: mine.signal,
    });
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") return;
    text = '<div class="notice bad" role="alert"><b>No answer.</b> The server or the network is away. ' +
      "What you typed is still there: change it, or press Search, to try again.</div>";
  }
  if (running !== mine) return;
  running = null;
  results.innerHTML = policy.createHTML(text);
  results.setAttribute("aria-busy", "false");
  history[push ? "pushState" : "replaceState"](null, "", url);
  announcement.textContent = results.querySelector("#summary, .notice")?.textContent ?? "";
  reflectPresets();
  dispatchEvent(new Event("resultschange"));
  if (focus) {
    form.scrollIntoView({ block: "start" });
    results.querySelector("#summary")?.focus();
  }
}

const now = () => {
  clearTimeout(timer);
  show(address("/recordings"));
};
form.addEventListener("input", (event) => {
  clearTimeout(timer);
  timer = setTimeout(now, event.target.matches("input[type=search], input:not([type])") ? WAIT_MS : 0);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  now();
});

// --- date presets ---------------------------------------------------------------------------------------------

const presets = [...form.querySelectorAll("[data-from]")];
for (const preset of presets) {
  preset.addEventListener("click", () => {
    form.elements.from.value = preset.dataset.from;
    form.elements.to.value = preset.dataset.to;
    now();
  });
}

function reflectPresets() {
  for (const preset of presets) {
    const chosen = form.elements.from.value === preset.dataset.from && form.elements.to.value === preset.dataset.to;
    preset.setAttribute("aria-pressed", String(chosen));
  }
}

// --- pages, back and forth ------------------------------------------------------------------------------------

/** Make the form say what an address says; what that leaves out is as it was in the beginning. */
function fill(query) {
  for (const field of form.elements) {
    if (field.name) field.value = query.get(field.name) ?? (field.name === "match" ? "ending" : "");
  }
}

document.getElementById("clear").addEventListener("click", (event) => {
  event.preventDefault();
  fill(new URLSearchParams());
  now();
  form.elements.number.focus();
});

results.addEventListener("click", (event) => {
  const link = event.target.closest(".paging a, .empty a[href='/recordings']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.closest(".empty")) document.getElementById("clear").click();
  else show(link.getAttribute("href"), { push: true, focus: true });
});

addEventListener("popstate", () => {
  fill(new URLSearchParams(location.search));
  show(location.pathname + location.search);
});

// --- selecting ------------------------------------------------------------------------------------------------

function reflectSelection() {
  const all = document.getElementById("all");
  if (!all) return;
  const boxes = [...results.querySelectorAll("input[name=id]")];
  const chosen = boxes.filter((box) => box.checked).length;
  for (const button of results.querySelectorAll("[data-needs-selection]")) {
    button.disabled = chosen === 0;
    const label = button.querySelector("[data-some]");
    label.textContent = chosen ? label.dataset.some.replace("#", chosen) : label.dataset.none;
  }
  all.checked = chosen === boxes.length;
  all.indeterminate = chosen > 0 && chosen < boxes.length;
}

results.addEventListener("change", (event) => {
  if (event.target.id === "all") {
    for (const box of results.querySelectorAll("input[name=id]")) box.checked = event.target.checked;
  }
  reflectSelection();
});
results.addEventListener("click", (event) => {
  const select = event.target.closest("#select");
  if (!select) return;
  const on = document.getElementById("selection").classList.toggle("selecting");
  select.setAttribute("aria-pressed", String(on));
  select.textContent = on ? "Done" : "Select";
});
addEventListener("resultschange", reflectSelection);
reflectSelection();
