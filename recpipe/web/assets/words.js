/**
 * The words of scripts in the language of the page. English stands in the scripts; what another language says in its
 * place is fetched once, from the address that the page names, or lies in the offline page, which has all of them.
 */

const root = globalThis.document?.documentElement;

/** @returns {Promise<Record<string, string | string[] | Record<string, number>>>} nothing: English */
async function wordsOfPage() {
  const inside = globalThis.document?.getElementById("words");
  if (inside) {
    const all = JSON.parse(inside.textContent);
    const wanted = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => tag === "en" || tag in all);
    if (!wanted || wanted === "en") return {};
    root.lang = wanted;
    return all[wanted];
  }
  if (!root?.dataset.words) return {};
  try {
    const answer = await fetch(root.dataset.words);
    return answer.ok ? await answer.json() : {};
  } catch {
    return {}; // English is better than nothing
  }
}

const words = await wordsOfPage();

/** The language of the page, for numbers and dates. */
export const language = root?.lang || "en";

const rules = new Intl.PluralRules(language);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (hole, name) => (name in values ? String(values[name]) : hole));

/** A text, with `{name}` where a value stands. */
export function t(text, values) {
  const said = words[text] ?? text;
  return values ? fill(said, values) : said;
}

/** A text that depends on a number, which `{count}` stands for. */
export function tn(one, many, count, values = {}) {
  const forms = words[one];
  const said = forms ? forms[words[""][rules.select(count)] ?? forms.length - 1] : count === 1 ? one : many;
  return fill(said, { count: count.toLocaleString(language), ...values });
}

/** Say what stands in the page, in elements with `data-t`, in its language. Elements inside stay and are only moved. */
export function translatePage() {
  const templates = [...document.querySelectorAll("template")].flatMap(({ content }) => [...content.querySelectorAll("[data-t]")]);
  for (const element of [...document.querySelectorAll("[data-t]"), ...templates]) {
    const inside = [...element.children];
    let n = 0;
    const text = [...element.childNodes].map((node) => (node instanceof Element ? `{${++n}}` : node.textContent)).join("");
    const said = words[text.replace(/\s+/g, " ").trim()];
    if (!said) continue;
    element.replaceChildren(...said.split(/(\{\d+\})/).map((part) => inside[/^\{(\d+)\}$/.exec(part)?.[1] - 1] ?? part));
  }
}
