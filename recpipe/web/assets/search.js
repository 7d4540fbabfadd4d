/** Search as you type: the list is fetched and exchanged, the address always says what is shown. */

import { policy } from "./trusted.js";
import { t } from "./words.js";

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
    text = `<div class="notice bad" role="alert">${t("<b>No answer.</b> The server or the network is away. " +
      "What you typed is still there: change it, or press Search, to try again.")}</div>`;
  }
  if (running !== mine) return;
  running = null;
  results.setAttribute("aria-busy", "false");
  const refusal = refused(text);
  refuse(refusal);
  // What cannot be understood takes no list away: the one before stays until the field makes sense.
  if (refusal && results.querySelector("tr[data-recording]")) return;
  results.innerHTML = policy.createHTML(text);
  history[push ? "pushState" : "replaceState"](null, "", url);
  announcement.textContent = results.querySelector("#summary, .notice")?.textContent ?? "";
  reflectPresets();
  dispatchEvent(new Event("resultschange"));
  if (focus) {
    form.scrollIntoView({ block: "start" });
    results.querySelector("#summary")?.focus();
  }
}

// --- what is refused ------------------------------------------------------------------------------------------

/** The notice of an answer that a field was refused in; null of any other. */
function refused(text) {
  const part = document.createElement("template");
  part.innerHTML = policy.createHTML(text);
  return part.content.querySelector("#refusal[data-field]");
}

/** Say it below its field, in place of what was said before. */
function refuse(notice) {
  document.getElementById("refusal")?.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
  const field = notice && form.elements[notice.dataset.field];
  if (!field) return;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", "refusal");
  notice.classList.add("beside");
  form.append(notice);
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
// Whoever typed before this script was there gets the list for it as well.
if ([...form.querySelectorAll("input")].some((field) => field.value !== field.defaultValue)) now();

// --- how many in all ------------------------------------------------------------------------------------------

let weighing = null;

/** What the list itself does not know is asked for once it is there, and only of a search that stays. */
function weigh() {
  weighing?.abort();
  const all = results.querySelector("#zip-all[data-total]");
  if (!all) return;
  const mine = (weighing = new AbortController());
  setTimeout(async () => {
    if (mine.signal.aborted) return;
    try {
      const answer = await fetch(all.dataset.total, { signal: mine.signal });
      if (!answer.ok) return;
      const { count, size } = await answer.json();
      all.lastElementChild.textContent = size ? t("All {count} as ZIP, {size}", { count, size }) : t("All as ZIP");
      const counted = results.querySelector("[data-count]");
      if (counted) counted.textContent = t("{count} calls", { count });
    } catch {
      // It is worth knowing, and nothing waits for it.
    }
  }, WAIT_MS);
}
addEventListener("resultschange", weigh);
weigh();

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

// --- on a phone -----------------------------------------------------------------------------------------------

const fold = document.getElementById("fold");
fold.addEventListener("click", () => {
  fold.setAttribute("aria-expanded", String(form.classList.toggle("unfolded")));
});

function reflectFold() {
  const set = [...new FormData(form)].filter(([name, value]) => value && !["find", "match", "size"].includes(name));
  fold.textContent = set.length ? t("Filters ({count})", { count: set.length }) : t("Filters");
}
addEventListener("resultschange", reflectFold);
reflectFold();

// --- pages, back and forth ------------------------------------------------------------------------------------

/** Make the form say what an address says; what that leaves out is as it was in the beginning. */
function fill(query) {
  for (const field of form.elements) {
    if (field.name) field.value = query.get(field.name) ?? (field.name === "match" ? "ending" : "");
  }
}

/** Everything but the service: whoever works in one of many stays there. */
document.getElementById("clear").addEventListener("click", (event) => {
  event.preventDefault();
  const service = form.elements.service?.value;
  fill(new URLSearchParams(service ? { service } : {}));
  now();
  form.elements.find.focus();
});

results.addEventListener("click", (event) => {
  const link = event.target.closest(".paging a, .empty a.clear, .empty a[rel=next]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.matches(".clear")) document.getElementById("clear").click();
  else show(link.getAttribute("href"), { push: true, focus: true });
});

addEventListener("popstate", () => {
  fill(new URLSearchParams(location.search));
  show(location.pathname + location.search);
});

// --- selecting ------------------------------------------------------------------------------------------------

/** A call and its legs are chosen together. */
function choose(box) {
  const row = box.closest("tr");
  const call = row.dataset.call ?? row.dataset.of;
  const legs = call ? [...results.querySelectorAll(`tr[data-of="${call}"] input[name=id]`)] : [];
  if (row.dataset.call) for (const leg of legs) leg.checked = box.checked;
  const whole = call && results.querySelector(`tr[data-call="${call}"] input[name=whole]`);
  if (!whole) return;
  whole.checked = legs.every((leg) => leg.checked);
  whole.indeterminate = !whole.checked && legs.some((leg) => leg.checked);
}

function reflectSelection() {
  const all = document.getElementById("all");
  if (!all) return;
  const boxes = [...results.querySelectorAll("input[name=id]")];
  const chosen = boxes.filter((box) => box.checked).length;
  for (const button of results.querySelectorAll("[data-needs-selection]")) {
    button.disabled = chosen === 0;
    if (button.id === "zip") button.hidden = chosen === 0; // all of them are offered then
    const label = button.querySelector("[data-some]");
    label.textContent = chosen ? label.dataset.some.replace("#", chosen) : label.dataset.none;
  }
  const every = document.getElementById("zip-all");
  if (every) every.hidden = chosen > 0;
  all.checked = chosen === boxes.length;
  all.indeterminate = chosen > 0 && chosen < boxes.length;
}

results.addEventListener("change", (event) => {
  if (event.target.id === "all") {
    for (const box of results.querySelectorAll("input[name=id]")) box.checked = event.target.checked;
  }
  const boxes = event.target.id === "all" ? results.querySelectorAll("tr.whole input[name=whole]") : [event.target];
  for (const box of boxes) {
    if (event.target.id === "all") box.checked = event.target.checked;
    if (box.matches("[name=id], [name=whole]")) choose(box);
  }
  reflectSelection();
});
results.addEventListener("click", (event) => {
  const select = event.target.closest("#select");
  if (!select) return;
  const on = document.getElementById("selection").classList.toggle("selecting");
  select.setAttribute("aria-pressed", String(on));
  select.textContent = on ? t("Done") : t("Select");
});
addEventListener("resultschange", reflectSelection);
reflectSelection();

// --- stars ----------------------------------------------------------------------------------------------------

results.addEventListener("click", async (event) => {
  const star = event.target.closest(".star");
  if (!star) return;
  event.preventDefault();
  star.disabled = true;
  try {
    const answer = await fetch("/recordings/star", { method: "POST", body: new URLSearchParams({ star: star.value }) });
    if (!answer.ok) throw new Error();
    await show(location.pathname + location.search);
    results.querySelector(`.star[value^="${star.value.split(":")[0]}"]`)?.focus();
  } catch {
    star.disabled = false;
    announcement.textContent = t("The star was not kept. Try again.");
  }
});

// --- legs -----------------------------------------------------------------------------------------------------

function readyLegs() {
  for (const button of results.querySelectorAll(".legs")) button.hidden = false;
}
results.addEventListener("click", (event) => {
  const button = event.target.closest(".legs");
  if (!button) return;
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  const { call } = button.closest("tr").dataset;
  for (const leg of results.querySelectorAll(`tr[data-of="${call}"]`)) leg.classList.toggle("open", open);
});
addEventListener("resultschange", readyLegs);
readyLegs();
