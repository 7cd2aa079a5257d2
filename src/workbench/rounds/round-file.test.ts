/** The file of a round: defaults, and what is refused with its line. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRound } from "./round-file.ts";

const least = `model: base
prompts: p.jsonl
eval_prompts: e.jsonl
output_dir: runs/one
config: run.yaml
`;
const parsed = (more: string) => parseRound(`${least}${more}`, "round.yaml");

test("keys that a configuration has too have its defaults; people get one pair of answers a prompt", () => {
  const byModel = parsed("judge: http://127.0.0.1:1/v1#m\n");
  assert.deepEqual(
    [byModel.num_generations, byModel.pairs, byModel.reward_gap, byModel.judge_mode, byModel.workbench],
    [8, "all", 0, "rating", "runs/workbench"],
  );
  assert.deepEqual(parsed("judge: people\n").num_generations, 2);
  assert.deepEqual(parsed("reward_funcs: length\n").reward_funcs, [{ function: "length" }]);
});

test("what is wrong is refused with line, key and remedy", () => {
  const refused: [more: string, message: RegExp][] = [
    ["", /round\.yaml: expected one of judge .*, got none of them/],
    ["judge: people\nreward_model: r\n", /got judge and reward_model/],
    ["judge: someone\n", /round\.yaml:6: judge: expected URL#MODEL .*got the text "someone"/],
    [
      "judge: people\njudge_mode: pairs\n",
      /round\.yaml:7: judge_mode has no effect here: it goes with a judge/,
    ],
    [
      "reward_funcs: length\nlabels: 3\n",
      /round\.yaml:7: labels has no effect here: it goes with judge: people/,
    ],
    [
      "judge: people\nlearning_rate: 1\n",
      /unknown key "learning_rate"\. It is a key of the configuration: put it under/,
    ],
    [
      "judge: http://127.0.0.1:1/v1#m\njudge_extra: { api_key: s3cret }\n",
      /^ConfigError: round\.yaml:7: judge_extra: "api_key" would stand in the round's records\.(?!.*s3cret)/,
    ],
    ["judge: people\npars: all\n", /unknown key "pars"\. Did you mean "?pairs/],
    ["judge: people\nvalues: { train_data: x }\n", /round\.yaml:7: train_data is set by the round/],
    ["judge: people\nnum_generations: 1\n", /num_generations: expected at least 2/],
    ["judge: people\npairs: some\n", /round\.yaml:7: pairs: expected one of/],
  ];
  for (const [more, message] of refused) assert.throws(() => parsed(more), message, more);
  assert.throws(
    () => parseRound("judge: people\n", "r.yaml"),
    /r\.yaml: model is missing[\s\S]*output_dir is missing/,
  );
});
