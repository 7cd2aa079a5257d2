/** Studies that are data: what their files say, and what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseStudy, readStudy } from "./study-file.ts";

const asked = (sets: readonly string[] = []) => ({
  budget: "quick" as const,
  sets: sets.map((name) => ({ name, values: { train_data: `${name}.jsonl` } })),
  prompts: null,
  searched: null,
});

test("conditions are the group's values and their own, and know what they are compared with", () => {
  const { conditions, referenceOf, seeds, needsAnswers } = readStudy("ablation");
  const all = conditions(asked());
  assert.deepEqual(all[4], {
    name: "script, without hard margin",
    changes: { objective: "slime", preset: "script", margin_hard: 1e6, lambda_d: 1e-6 },
  });
  assert.deepEqual(
    ["script, full", "script, without soft gate", "paper, without soft gate"].map(referenceOf),
    [null, "script, full", "paper, full"],
  );
  assert.deepEqual([all.length, seeds.quick, needsAnswers], [10, 3, true]);
});

test("with two preference sets every condition is there with each, under its name", () => {
  const { conditions, referenceOf } = readStudy("transfer");
  const all = conditions(asked(["one", "two"]));
  assert.deepEqual(all[9], {
    name: "two: script",
    changes: { train_data: "two.jsonl", objective: "slime", preset: "script" },
  });
  assert.deepEqual(["two: script", "two: balanced"].map(referenceOf), ["two: balanced", null]);
});

const file = `
title: A title
question: A question
metrics: [accuracy]
evaluations: few
seeds: {quick: 1, full: 2}
groups:
  - reference: one
    conditions:
      one: {kappa: 1}
sections: []
`;

test("a slip of the pen is refused with its place", () => {
  assert.equal(parseStudy(file, "a.yaml").title, "A title");
  const slips: [string, string, RegExp][] = [
    ["evaluations: few", "evaluations: rarely", /a\.yaml: .*"few".*\n.*evaluations/],
    ["accuracy", "acuracy", /a\.yaml: [\s\S]*metrics\[0\]/],
    ["reference: one", "reference: two", /a\.yaml: reference: .*condition, got "two"/],
    ["question:", "qestion:", /a\.yaml: [\s\S]*qestion/],
  ];
  for (const [right, wrong, message] of slips)
    assert.throws(() => parseStudy(file.replace(right, wrong), "a.yaml"), { name: "ConfigError", message });
});
