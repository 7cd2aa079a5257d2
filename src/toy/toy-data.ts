/**
 * The quick start's data: rows for SFT, preference pairs to train on, and held-out pairs, in TRL's conversational form.
 * A pure function of its options. No question of one split comes in another, in whatever wording.
 */
import { at } from "../base/at.ts";
import { deriveSeed, permutation, Random } from "../base/random.ts";
import { drawFlaw, type Flaw, flawedAnswer } from "./flaws.ts";
import {
  drawQuestion,
  type IslandQuestion,
  makeWorld,
  questionKey,
  questionText,
  rightAnswer,
  type World,
} from "./world.ts";

/** One turn of a conversation. */
interface Turn {
  role: "user" | "assistant";
  content: string;
}

/** A question with the answer to imitate. */
export interface SftRow {
  prompt: Turn[];
  completion: Turn[];
}

/** A question with a right answer and a flawed one. */
export interface PreferenceRow {
  prompt: Turn[];
  chosen: Turn[];
  rejected: Turn[];
  /** What is wrong with the rejected answer; training does not read it. */
  flaw: Flaw;
}

/** How often a flawed answer has the flaw that is usual for its question's wording. */
const habit = { sft: 0.7, pairs: 0.5 };

/** How much data to make. */
export interface DataOptions {
  seed: number;
  sftRows: number;
  trainPairs: number;
  evalPairs: number;
  /** Fraction of SFT rows whose answer is flawed, so that SFT leaves something to improve. */
  flawedShare: number;
}

/** The splits. */
export interface ToyData {
  world: World;
  sft: SftRow[];
  train: PreferenceRow[];
  evaluation: PreferenceRow[];
}

/** The data of `options`. */
export function makeData(options: DataOptions): ToyData {
  const { seed, sftRows, trainPairs, evalPairs } = options;
  const world = makeWorld(deriveSeed(seed, 0));
  const questions = differentQuestions(
    world,
    sftRows + trainPairs + evalPairs,
    new Random(deriveSeed(seed, 1)),
  );
  const random = new Random(deriveSeed(seed, 2));
  const pairs = (from: number, count: number) =>
    questions.slice(from, from + count).map((question) => preferenceRow(world, question, random));
  return {
    world,
    evaluation: pairs(0, evalPairs),
    train: pairs(evalPairs, trainPairs),
    sft: questions.slice(evalPairs + trainPairs).map((question) => {
      const isFlawed = random.next() < options.flawedShare;
      const answer = isFlawed
        ? flawedAnswer(world, question, drawFlaw(question, habit.sft, random), random)
        : rightAnswer(world, question);
      return { prompt: [asked(world, question)], completion: [said(answer)] };
    }),
  };
}

function differentQuestions(world: World, count: number, random: Random): IslandQuestion[] {
  const questions = new Map<string, IslandQuestion>();
  while (questions.size < count) {
    const question = drawQuestion(world, random);
    const key = questionKey(question);
    if (!questions.has(key)) questions.set(key, question);
  }
  // the last ones drawn are of the kinds with the most questions: mix them in
  const drawn = [...questions.values()];
  return Array.from(permutation(count, random.state), (i) => at(drawn, i));
}

function preferenceRow(world: World, question: IslandQuestion, random: Random): PreferenceRow {
  const flaw = drawFlaw(question, habit.pairs, random);
  return {
    prompt: [asked(world, question)],
    chosen: [said(rightAnswer(world, question))],
    rejected: [said(flawedAnswer(world, question, flaw, random))],
    flaw,
  };
}

function asked(world: World, question: IslandQuestion): Turn {
  return { role: "user", content: questionText(world, question) };
}

function said(content: string): Turn {
  return { role: "assistant", content };
}

/** What the tokenizer is learned from: the SFT rows, as the chat template names their roles. */
export function tokenizerText({ sft }: ToyData): string {
  const messages = sft.flatMap(({ prompt, completion }) => [...prompt, ...completion]);
  return messages.map(({ role, content }) => `${role}\n${content}\n`).join("");
}

/** `rows` as the text of a JSONL file. */
export function jsonLines(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}
