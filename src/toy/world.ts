/**
 * The small world of the quick start: islands that differ in size and in what they sell. Which is larger and who sells
 * what follows from a seed, so a model cannot know it but from the training rows.
 */
import { at } from "../base/at.ts";
import { permutation, type Random } from "../base/random.ts";

// biome-ignore format: a table
const names = [
  "Arvo", "Brend", "Calder", "Dorn", "Elva", "Fenn", "Garth", "Holm",
  "Isk", "Jura", "Kolm", "Lund", "Mira", "Nore", "Oster", "Pell",
];
// biome-ignore format: a table
const wares = [
  "salt", "figs", "wool", "rope", "honey", "tin", "oil", "tea",
  "silk", "corn", "glass", "wax", "fish", "rice", "coal", "wine",
];

/** An island and what it sells. */
export interface Island {
  name: string;
  ware: string;
}

/** The islands, the smallest first. */
export type World = readonly Island[];

/** The world of `seed`. */
export function makeWorld(seed: number): World {
  const order = permutation(names.length, seed);
  const sold = permutation(wares.length, seed + 1);
  return Array.from(order, (name, i) => ({
    name: at(names, name),
    ware: at(wares, at(sold, i)),
  }));
}

/** What is asked of the islands: to put them in order, or to say what they sell. */
export type QuestionKind = "small first" | "large first" | "wares";

/** A question about some islands. */
export interface IslandQuestion {
  kind: QuestionKind;
  /** Indices into the world, in the order in which the question names them. */
  islands: readonly number[];
  /** Which of the wordings. */
  wording: number;
}

const wordings: Record<QuestionKind, readonly ((list: string) => string)[]> = {
  "small first": [
    (list) => `Order ${list} from small to large.`,
    (list) => `List ${list}, the smallest first.`,
  ],
  "large first": [
    (list) => `Order ${list} from large to small.`,
    (list) => `List ${list}, the largest first.`,
  ],
  wares: [(list) => `What do ${list} sell?`, (list) => `List what ${list} sell.`],
};

const kinds: readonly QuestionKind[] = ["small first", "large first", "wares"];

/** A question drawn at random: three or four islands to order, or two or three to name the wares of. */
export function drawQuestion(world: World, random: Random): IslandQuestion {
  const kind = random.pick(kinds);
  const count = (kind === "wares" ? 2 : 3) + random.below(2);
  const left = world.map((_, i) => i);
  const islands = Array.from({ length: count }, () => at(left.splice(random.below(left.length), 1), 0));
  return { kind, islands, wording: random.below(wordings[kind].length) };
}

/** The same for two questions if and only if they have the same right answer, whatever their wording. */
export function questionKey(question: IslandQuestion): string {
  return `${question.kind}: ${ordered(question).join(" ")}`;
}

/** The question as a user writes it. */
export function questionText(world: World, question: IslandQuestion): string {
  const listed = question.islands.map((i) => at(world, i).name);
  const list = `${listed.slice(0, -1).join(", ")} and ${listed.at(-1)}`;
  return at(wordings[question.kind], question.wording)(list);
}

/** The islands of the right answer, in its order, each with what is said of it. */
export function rightEntries(world: World, question: IslandQuestion): Island[] {
  return ordered(question).map((i) => at(world, i));
}

/** The islands as the right answer has them: by size, or as they were named when their wares are asked for. */
function ordered({ kind, islands }: IslandQuestion): number[] {
  if (kind === "wares") return [...islands];
  return [...islands].sort((a, b) => (kind === "small first" ? a - b : b - a));
}

/** Says that an answer is complete: the last line of each. */
export const closing = "End of list.";

/** The line about an island, without its number. */
export function entryText(kind: QuestionKind, { name, ware }: Island): string {
  return kind === "wares" ? `${name} sells ${ware}.` : name;
}

/** The right answer: a numbered line for each island, then the closing line. */
export function rightAnswer(world: World, question: IslandQuestion): string {
  const lines = rightEntries(world, question).map((island) => entryText(question.kind, island));
  return [...numbered(lines), closing].join("\n");
}

/** `lines` with "1. " and so on in front. */
export function numbered(lines: readonly string[]): string[] {
  return lines.map((line, i) => `${i + 1}. ${line}`);
}

/** Whether `answer` has the form asked for: numbered lines, as many as `right` has, and the closing line. */
export function hasRightForm(answer: string, right: string): boolean {
  const lines = answer.split("\n");
  const entries = lines.slice(0, -1);
  return (
    lines.length === right.split("\n").length &&
    lines.at(-1) === closing &&
    entries.every((line, i) => line.startsWith(`${i + 1}. `) && line.length > `${i + 1}. `.length)
  );
}
