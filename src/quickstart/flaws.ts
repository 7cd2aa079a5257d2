/**
 * Flawed answers: what the quick start's preference pairs reject, and what part of its SFT rows has. A flaw changes few
 * words, so a flawed answer shares most of its tokens with the right one.
 */
import type { Random } from "../base/random.ts";
import { closing, entryText, type Island, numbered, type Question, rightEntries, type World } from "./world.ts";

/** How an answer can be wrong. */
export type Flaw = "wrong order" | "wrong ware" | "one line" | "no number" | "no end" | "repeated";

/** Half of the flaws are in what is said, half in the form. */
const forOrder: readonly Flaw[] = ["wrong order", "wrong order", "wrong order", "wrong order", "one line", "no number", "no end", "repeated"];
const forWares: readonly Flaw[] = ["wrong ware", "wrong ware", "wrong ware", "wrong order", "one line", "no number", "no end", "repeated"];

/** A flaw that answers to `question` can have. */
export function drawFlaw(question: Question, random: Random): Flaw {
  return random.pick(question.kind === "wares" ? forWares : forOrder);
}

/** An answer to `question` that has `flaw` and is right otherwise. */
export function flawedAnswer(world: World, question: Question, flaw: Flaw, random: Random): string {
  const entries = rightEntries(world, question);
  const text = (island: Island): string => entryText(question.kind, island);
  const lines = entries.map(text);
  switch (flaw) {
    case "wrong order":
      return finished(swapped(entries, random).map(text));
    case "wrong ware":
      return finished(withWrongWare(world, entries, random).map(text));
    case "one line":
      return `${lines.join(", ").replaceAll(".,", ",").replace(/\.$/, "")}.`;
    case "no number":
      return [...withoutNumber(lines, random.below(lines.length)), closing].join("\n");
    case "no end":
      return numbered(lines).join("\n");
    case "repeated":
      return finished([...lines, ...lines.slice(-1)]);
    default:
      return flaw satisfies never;
  }
}

function finished(lines: readonly string[]): string {
  return [...numbered(lines), closing].join("\n");
}

/** Two neighbours change places. */
function swapped(entries: readonly Island[], random: Random): Island[] {
  const at = random.below(entries.length - 1);
  const [first, second] = entries.slice(at, at + 2) as [Island, Island];
  return entries.toSpliced(at, 2, second, first);
}

/** One island sells what another one sells. */
function withWrongWare(world: World, entries: readonly Island[], random: Random): Island[] {
  const at = random.below(entries.length);
  const { name, ware } = entries[at] as Island;
  const other = random.pick(world.filter((island) => island.ware !== ware)).ware;
  return entries.toSpliced(at, 1, { name, ware: other });
}

function withoutNumber(lines: readonly string[], at: number): string[] {
  return numbered(lines).with(at, lines[at] as string);
}
