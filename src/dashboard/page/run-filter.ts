/** The list of runs: which of them a filter names, and in what order and folders they stand. */
import type { Study, Summary } from "../run-summary.ts";

/** Where `word:` looks; other words look everywhere. */
const places: Readonly<Record<string, (run: Summary) => readonly string[]>> = {
  name: ({ name }) => [name],
  folder: ({ folder }) => [folder],
  state: ({ stateText }) => [stateText],
  objective: ({ objective }) => [objective],
  model: ({ model }) => [model],
  data: ({ data }) => [data],
  tag: ({ tags }) => tags,
};

/** Names of {@link places}, for the words beside the field. */
export const placeNames: readonly string[] = Object.keys(places);

/** Whether a run has all words of the filter; `tag:x` looks at tags alone, `-x` is for runs that have no x. */
export function hasWords(run: Summary, filter: string): boolean {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return words.every((word) => {
    const isNot = word.startsWith("-") && word.length > 1;
    return hasWord(run, isNot ? word.slice(1) : word) !== isNot;
  });
}

function hasWord(run: Summary, word: string): boolean {
  const [, place = "", rest = ""] = /^([a-z]+):(.*)$/s.exec(word) ?? [];
  const one = Object.hasOwn(places, place) ? places[place] : undefined;
  const texts = one === undefined ? Object.values(places).flatMap((textsOf) => textsOf(run)) : one(run);
  return texts.some((text) => text.toLowerCase().includes(one === undefined ? word : rest));
}

/** A line of the list: a run, or the folder of a study with its runs. */
export type Entry =
  | { key: string; run: Summary; isInside: boolean }
  | { key: string; study: Study; runs: readonly Summary[]; isOpen: boolean };

/** What is shown of the list. */
export interface Shown {
  filter: string;
  /** Those that were put away, too. */
  hasArchived: boolean;
  /** Studies whose folders were opened or closed by hand, by id. */
  folders: ReadonlyMap<string, boolean>;
}

/** The lines of the list: the baseline, what runs, then what changed last. A folder is open while a filter looks into it. */
export function entriesOf(runs: readonly Summary[], { filter, hasArchived, folders }: Shown): Entry[] {
  const shown = runs
    .filter((run) => (hasArchived || !run.isArchived) && hasWords(run, filter))
    .toSorted((a, b) => rank(b) - rank(a) || (a.id < b.id ? -1 : 1));
  const seen = new Set<string>();
  return shown.flatMap((run): Entry[] => {
    const { study } = run;
    if (study === null || run.isBaseline) return [{ key: run.id, run, isInside: false }];
    if (seen.has(study.id)) return [];
    seen.add(study.id);
    const inside = shown.filter((one) => one.study?.id === study.id && !one.isBaseline);
    const isOpen = folders.get(study.id) ?? filter.trim() !== "";
    const lines = isOpen ? inside.map((one): Entry => ({ key: one.id, run: one, isInside: true })) : [];
    return [{ key: study.id, study, runs: inside, isOpen }, ...lines];
  });
}

/** Where the line of `key` stands; one that is gone leaves its place to the next. @param before - where it stood */
export function placeOf(key: string | null, entries: readonly { key: string }[], before: number): number {
  const found = entries.findIndex((entry) => entry.key === key);
  return found >= 0 ? found : Math.max(0, Math.min(before, entries.length - 1));
}

/** The order of running ones stays while they run. */
function rank({ state, changedAt, startedAt, isBaseline }: Summary): number {
  if (isBaseline) return Number.MAX_SAFE_INTEGER;
  return state === "running" ? Number.MAX_SAFE_INTEGER / 2 + (startedAt ?? 0) : changedAt;
}

/** How many runs of a folder are at what: "2 running, 10 finished". */
export function statesText(runs: readonly Summary[]): string {
  const counts = Map.groupBy(runs, ({ stateText }) => stateText);
  return [...counts].map(([state, some]) => `${some.length} ${state}`).join(", ");
}
