import assert from "node:assert/strict";
import { test } from "node:test";
import { type AnsweredPrompt, diversityOf, type SampledText } from "./diversity.ts";

function said(text: string, more: Partial<SampledText> = {}): SampledText {
  return { text, ended: true, ...more };
}

function close(got: number, expected: number): void {
  assert.ok(Math.abs(got - expected) < 1e-12, `${got}, not ${expected}`);
}

const prompts: AnsweredPrompt[] = [
  { prompt: "p", answers: [said("a b a b a b"), said("a b c", { ended: false })] },
  { prompt: "q", answers: [said("a b a b a b"), said("- x\n-", { ended: false })] },
];

test("metrics over all answers, by hand", () => {
  const { all } = diversityOf(prompts, "words");
  assert.deepEqual([all.prompts, all.answers], [2, 4]);
  const { metrics } = all;
  // words: ababab, abc, ababab, - x -
  close(metrics.length, (6 + 3 + 6 + 3) / 4);
  close(metrics.distinct_1, 5 / 18);
  // pairs: ab ba | ab bc | - x, x -
  close(metrics.distinct_2, 5 / 14);
  // triples: aba bab | abc | -x-
  close(metrics.distinct_3, 4 / 10);
  // runs of four in ababab: abab baba abab, so one of three repeats, in each of two answers
  close(metrics.repetition, 2 / 6);
  close(metrics.ended_properly, 2 / 4);
  const p = [7 / 18, 7 / 18, 1 / 18, 2 / 18, 1 / 18];
  close(metrics.vocabulary_entropy, -p.reduce((sum, x) => sum + x * Math.log(x), 0));
  assert.ok(Number.isNaN(metrics.entropy), "nothing says the entropies");
  // the first answers are the same; the second ones share nothing
  close(metrics.self_bleu_across, (100 + 100 + 0 + 0) / 4);
  // the empty item stands on the last line of a cut answer
  close(metrics.malformed, 0);
  close(metrics.formatted, 1 / 4);
});

test("metrics of each prompt alone", () => {
  const { perPrompt, all } = diversityOf(prompts, "words");
  assert.deepEqual(
    perPrompt.map(({ prompt, answers }) => [prompt, answers]),
    [
      ["p", 2],
      ["q", 2],
    ],
  );
  const [first, second] = perPrompt.map(({ metrics }) => metrics);
  close(first?.distinct_1 as number, 3 / 9);
  assert.equal(second?.self_bleu, 0);
  close(all.metrics.self_bleu, (first?.self_bleu as number) / 2);
  assert.ok(Number.isNaN(first?.self_bleu_across as number), "one prompt");
});

test("faults are counted by kind; an answer that ended is held to its last line", () => {
  const { all } = diversityOf(
    [{ prompt: "", answers: [said("- x\n-"), said("1. a\n3. b\n```"), said("fine")] }],
    "words",
  );
  close(all.metrics.malformed, 2 / 3);
  close(all.faults.list_item, 1 / 3);
  close(all.faults.numbering, 1 / 3);
  close(all.faults.fence, 1 / 3);
  assert.equal(all.faults.table, 0);
});

test("tokens, entropies and what is not known", () => {
  const answers = [
    said("x", { ids: [1, 2, 1], entropies: [1, 2, 3], ended: null }),
    said("", { ids: [], entropies: [], ended: null }),
  ];
  const { metrics } = diversityOf([{ prompt: "", answers }], "tokens").all;
  close(metrics.length, 1.5);
  close(metrics.distinct_1, 2 / 3);
  close(metrics.entropy, 2);
  assert.ok(Number.isNaN(metrics.ended_properly) && Number.isNaN(metrics.repetition));
  assert.throws(() => diversityOf([{ prompt: "", answers: [said("a")] }], "tokens"), TypeError);
});

test("no answers: no metrics", () => {
  const { all, perPrompt } = diversityOf([], "words");
  assert.ok(Object.values(all.metrics).every(Number.isNaN));
  assert.deepEqual(perPrompt, []);
});
