/**
 * Flawed answers: what the quick start's preference pairs reject, and what a part of its SFT rows has. A flaw changes
 * few words or only their order, so a flawed answer shares most of its tokens with the right one.
 */
import { at } from "../base/at.ts";
import type { Random } from "../base/random.ts";
import {
  closing,
  entryText,
  type Island,
  type IslandQuestion,
  numbered,
  type QuestionKind,
  rightEntries,
  type World,
} from "./world.ts";

/** How an answer can be wrong: in what it says, or in its form. */
export type Flaw = "wrong way" | "swapped" | "wrong ware" | "one line" | "no number" | "no end" | "repeated";

const ofForm: readonly Flaw[] = ["one line", "no number", "no end", "repeated"];
const possible: Record<QuestionKind, readonly Flaw[]> = {
  "small first": [...ofForm, "wrong way", "swapped", "swapped", "swapped"],
  "large first": [...ofForm, "wrong way", "swapped", "swapped", "swapped"],
  wares: [...ofForm, "wrong ware", "wrong ware", "wrong ware", "swapped"],
};

/** The flaw that answers to each wording of a question often have; null for none more than others. */
const habits: Record<QuestionKind, readonly (Flaw | null)[]> = {
  "small first": [null, "no end"],
  "large first": ["wrong way", "repeated"],
  wares: ["one line", "no number"],
};

/** A flaw for an answer to `question`: the habitual one of its wording with the probability `habit`. */
export function drawFlaw({ kind, wording }: IslandQuestion, habit: number, random: Random): Flaw {
  const usual = habits[kind][wording] ?? null;
  return usual !== null && random.next() < habit ? usual : random.pick(possible[kind]);
}

/** An answer to `question` that has `flaw` and is right otherwise. */
export function flawedAnswer(world: World, question: IslandQuestion, flaw: Flaw, random: Random): string {
  const entries = rightEntries(world, question);
  const list = (islands: readonly Island[]): string[] =>
    numbered(islands.map((island) => entryText(question.kind, island)));
  switch (flaw) {
    case "wrong way":
      return [...list(entries.toReversed()), closing].join("\n");
    case "swapped":
      return [...list(swapped(entries, random)), closing].join("\n");
    case "wrong ware":
      return [...list(withWrongWare(world, entries, random)), closing].join("\n");
    case "one line":
      return `${entries.map((island) => entryText(question.kind, island).replace(".", "")).join(", ")}.`;
    case "no number":
      return [...withoutNumber(list(entries), random), closing].join("\n");
    case "no end":
      return list(entries).join("\n");
    case "repeated":
      return [...list([...entries, ...entries.slice(-1)]), closing].join("\n");
    default:
      return flaw satisfies never;
  }
}

/** Two neighbours change places. */
function swapped(entries: readonly Island[], random: Random): Island[] {
  const at = random.below(entries.length - 1);
  const [first, second] = entries.slice(at, at + 2) as [Island, Island];
  return entries.toSpliced(at, 2, second, first);
}

/** One island sells what another one sells. */
function withWrongWare(world: World, entries: readonly Island[], random: Random): Island[] {
  const place = random.below(entries.length);
  const { name, ware } = at(entries, place);
  const other = random.pick(world.filter((island) => island.ware !== ware)).ware;
  return entries.toSpliced(place, 1, { name, ware: other });
}

function withoutNumber(lines: readonly string[], random: Random): string[] {
  const place = random.below(lines.length);
  return lines.with(place, at(lines, place).replace(/^\d+\. /, ""));
}
