/**
 * Unicode's normal forms of any text in time that grows with its length: `normalize` sorts the marks on a character by
 * insertion, so that a letter with 100,000 accents takes it seconds, and one with a million minutes. Here long runs of
 * marks are sorted before.
 */
import { at } from "../../base/at.ts";

/** One of Unicode's normal forms. */
export type NormalForm = "NFC" | "NFD" | "NFKC" | "NFKD";

/** Runs that `normalize` does not sort fast enough; no language writes so many. Two letters of kana are marks in NFKC. */
const longRun = /[\p{M}\uff9e\uff9f]{32,}/gu;

/** `text.normalize(form)`. */
export function normalized(text: string, form: NormalForm): string {
  const decomposed = form.startsWith("NFK") ? "NFKD" : "NFD";
  return text.replace(longRun, (run) => sortedMarks(run, decomposed)).normalize(form);
}

/** The marks of a run in canonical order: those that move by class, stably; those that do not stay between the others. */
function sortedMarks(run: string, decomposed: NormalForm): string {
  const texts = new Map<string, string>();
  const classes = classesOf(run, decomposed, texts);
  const sorted: string[] = [];
  let open: string[][] = [];
  const close = (): void => {
    for (const marks of open) if (marks !== undefined) for (const mark of marks) sorted.push(mark);
    open = [];
  };
  for (const written of run) {
    for (const mark of texts.get(written) ?? written) {
      const place = classes.get(mark);
      if (place === undefined) {
        close();
        sorted.push(mark);
      } else {
        open[place] ??= [];
        open[place].push(mark);
      }
    }
  }
  close();
  return sorted.join("");
}

/** The place of each mark that moves among the others of the run. `texts` gets what each character is made of. */
function classesOf(run: string, decomposed: NormalForm, texts: Map<string, string>): Map<string, number> {
  for (const written of new Set(run)) texts.set(written, written.normalize(decomposed));
  const moving = [...new Set([...texts.values()].join(""))].filter(moves);
  moving.sort((a, b) => (isBehind(a, b) ? 1 : isBehind(b, a) ? -1 : 0));
  const places = new Map<string, number>();
  let place = 0;
  for (const [i, mark] of moving.entries()) {
    if (i > 0 && isBehind(mark, at(moving, i - 1))) place++;
    places.set(mark, place);
  }
  return places;
}

/** Whether normalising sets `first` behind `second`: its class is higher. */
function isBehind(first: string, second: string): boolean {
  return first !== second && (first + second).normalize("NFD") === second + first;
}

/** Marks of the lowest class and of the highest. */
const overlay = "\u0334";
const iotaBelow = "\u0345";

/** Whether a mark has a class. Marks without one stay where they are, and nothing moves past them. */
function moves(mark: string): boolean {
  return isBehind(mark, overlay) || isBehind(iotaBelow, mark);
}
