/**
 * The workbench of the pictures in docs/dashboard.md: `npm run ts -- scripts/make-picture-workbench.ts DIR CALM LIVELY`, where CALM and
 * LIVELY are outputs of `preftune generate` for the same prompts. A model's answers are real. The people and the judge are rules.
 */
import { at } from "../src/base/at.ts";
import { readTextFile } from "../src/base/files.ts";
import { Random } from "../src/base/random.ts";
import { plainText } from "../src/text/message-text.ts";
import type { Choice, Comparison } from "../src/workbench/comparison.ts";
import { keepVerdicts } from "../src/workbench/judges.ts";
import type { LabelStore } from "../src/workbench/label-store.ts";
import { castVote, flag, nextPair, noteOn } from "../src/workbench/labelling.ts";
import { makeWorkbench } from "../src/workbench/workbench-dir.ts";

interface Line {
  prompt: string;
  answers: { text: string }[];
}

function linesOf(path: string): Line[] {
  return readTextFile(path)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

function comparisonsOf(calm: readonly Line[], lively: readonly Line[]): Comparison[] {
  return calm.flatMap(({ prompt, answers }, i) =>
    answers.map(({ text }, k) => ({
      prompt,
      answers: [text, at(at(lively, i).answers, k).text],
      models: ["temperature 0.3", "temperature 1"],
      votes: [],
      extra: {},
    })),
  );
}

/** How many different words of the prompt an answer has: who plays a person prefers the answer with more. */
function sharedWords(prompt: string, answer: string): number {
  const words = (text: string) => new Set(text.toLowerCase().match(/\p{L}{4,}/gu));
  const given = words(prompt);
  return [...words(answer)].filter((word) => given.has(word)).length;
}

/** Judges every pair by {@link sharedWords}, and `slips` times in a hundred by chance. */
function play(store: LabelStore, person: string, slips: number, random: Random): void {
  store.addPerson(person, "person");
  const chance = (below: number) => random.below(below);
  for (let n = 1; ; n++) {
    const pair = nextPair(store, person, { chance });
    if (pair === null) return;
    const { showing } = pair;
    const [left, right] = [pair.left, pair.right].map((answer) =>
      sharedWords(plainText(pair.prompt), plainText(answer)),
    );
    const better = Math.sign((left ?? 0) - (right ?? 0));
    const meant = better > 0 ? "left" : better < 0 ? "right" : "tie";
    const verdict = random.below(100) < slips ? random.pick(["left", "right", "bad"] as const) : meant;
    if (n === 5) {
      noteOn(store, person, showing, "Both stop in the middle of a sentence.");
      flag(store, person, showing, true);
    }
    castVote(store, person, { showing, key: `press ${n}`, verdict });
  }
}

/** A judge that prefers the longer answer, and of answers about as long the one that it reads first. */
function longerOf(first: string, second: string): "first" | "second" {
  return second.length > 1.1 * first.length ? "second" : "first";
}

function judge(store: LabelStore): void {
  const verdicts = store.order.map((item) => {
    const [a = "", b = ""] = store.item(item).comparison.answers.map(plainText);
    const orders: [Choice, Choice] = [
      longerOf(a, b) === "first" ? "a" : "b",
      longerOf(b, a) === "first" ? "b" : "a",
    ];
    return { item, orders };
  });
  keepVerdicts(store, "prefers-longer", verdicts);
}

const [dir = "workbench", calm = "calm.jsonl", lively = "lively.jsonl"] = process.argv.slice(2);
using store = makeWorkbench(dir);
const random = new Random(1);
store.add(comparisonsOf(linesOf(calm), linesOf(lively)));
play(store, "Ada", 8, random);
play(store, "Ben", 25, random);
judge(store);
