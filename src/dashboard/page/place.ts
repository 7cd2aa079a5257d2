/** Where the page is: the part of the address behind `#/`, so that every screen has an address. */
import { signal } from "@preact/signals";

/** A place: the parts of `#/runs/abc?x=1`. */
export interface Place {
  parts: readonly string[];
  query: URLSearchParams;
}

/** Whether an address logs in: that is no place. */
function isLogin(hash: string): boolean {
  return hash.startsWith("#token=");
}

function placeOf(hash: string): Place {
  if (isLogin(hash)) return { parts: [], query: new URLSearchParams() };
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  return {
    parts: path.split("/").filter(Boolean).map(decoded),
    query: new URLSearchParams(query),
  };
}

/** What is no encoded text, of an address that was typed, stands for itself. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The place at hand. */
export const place = signal<Place>(placeOf(location.hash));

addEventListener("hashchange", () => {
  // the page logs in as it is loaded; what it shows is somebody else's
  if (isLogin(location.hash)) location.reload();
  else place.value = placeOf(location.hash);
});

/** The address of a place. */
export function addressOf(parts: readonly string[], query: Readonly<Record<string, string>> = {}): string {
  const asked = new URLSearchParams(query).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${asked === "" ? "" : `?${asked}`}`;
}

/** Goes to a place. */
export function goTo(parts: readonly string[], query: Readonly<Record<string, string>> = {}): void {
  location.hash = addressOf(parts, query);
}

/** Sets words of the query where the page is, without a step in the history; "" takes a word out. */
export function setQuery(words: Readonly<Record<string, string>>): void {
  const { parts, query } = place.value;
  const next = new URLSearchParams(query);
  for (const [word, value] of Object.entries(words)) {
    if (value === "") next.delete(word);
    else next.set(word, value);
  }
  history.replaceState(null, "", addressOf(parts, Object.fromEntries(next)));
  place.value = placeOf(location.hash);
}
