/**
 * What the site's pages do beyond being read: search, dark and light, and the contents that a phone folds. A plain script, so that it runs
 * from the disk as well.
 */

/** @typedef {{ page: string, heading: string, url: string, text: string }} SearchEntry */

const phone = 820;
const most = 12;

/** Where the site begins, seen from this page: this script stands there. */
const base = new URL(".", /** @type {HTMLScriptElement} */ (document.currentScript).src);

const contents = /** @type {HTMLDetailsElement} */ (document.getElementById("contents"));
if (innerWidth <= phone) contents.open = false;

document.getElementById("appearance")?.addEventListener("click", () => {
  const isDark = document.documentElement.classList.toggle("dark");
  localStorage.setItem("vitepress-theme-appearance", isDark ? "dark" : "light");
});

const input = /** @type {HTMLInputElement} */ (document.getElementById("search"));
const found = /** @type {HTMLOListElement} */ (document.getElementById("found"));

/** @type {Promise<SearchEntry[]> | null} */
let loading = null;

/** The parts of all pages, fetched when they are first asked for. */
function entries() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("search-index.js", base).href;
    script.onload = () => resolve(/** @type {any} */ (globalThis).searchEntries);
    script.onerror = () => reject(new Error("search-index.js cannot be loaded"));
    document.head.append(script);
  });
  return loading;
}

/**
 * How well an entry fits: words in titles count more than words in the text. 0 where one of the words is missing.
 *
 * @param {SearchEntry} entry
 * @param {readonly string[]} words
 */
function fit(entry, words) {
  const places = [entry.heading || entry.page, entry.page, entry.text].map((text) => text.toLowerCase());
  const weights = [8, 4, 1];
  let sum = 0;
  for (const word of words) {
    const best = Math.max(...places.map((text, i) => (text.includes(word) ? (weights[i] ?? 0) : 0)));
    if (best === 0) return 0;
    sum += best;
  }
  return sum;
}

/**
 * The text around the first of the words.
 *
 * @param {string} text
 * @param {readonly string[]} words
 */
function around(text, words) {
  const at = Math.max(0, text.toLowerCase().indexOf(words[0] ?? "") - 40);
  return `${at > 0 ? "…" : ""}${text.slice(at, at + 120)}…`;
}

async function search() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = words.length === 0 ? [] : await entries();
  const best = all
    .map((entry) => ({ entry, score: fit(entry, words) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, most);
  found.replaceChildren(
    ...best.map(({ entry }) => {
      const link = document.createElement("a");
      link.href = new URL(entry.url, base).href;
      const text = document.createElement("small");
      text.textContent = around(entry.text, words);
      link.append(entry.heading === "" ? entry.page : `${entry.page}: ${entry.heading}`, text);
      const item = document.createElement("li");
      item.append(link);
      return item;
    }),
  );
  if (words.length > 0 && best.length === 0) found.append("Nothing has all of these words.");
  found.hidden = words.length === 0;
}

input.addEventListener("input", () => void search());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") found.hidden = true;
  if (event.key === "/" && document.activeElement === document.body) {
    event.preventDefault();
    input.focus();
  }
});
