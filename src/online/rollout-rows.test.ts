/** Rows of rollouts.jsonl.gz: what each method gives a completion. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadMethod } from "../config/load-config.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { RolloutGroup } from "./rollout.ts";
import { rolloutRows } from "./rollout-rows.ts";

const completions = [[1], [2, 3], [4]].map((ids) => ({
  ...{ ids, ended: true, logps: new Float32Array(ids.length), kept: null },
}));
const groups: RolloutGroup[] = [
  { index: 0, example: { origin: { file: "p", line: 1 }, promptIds: [9], completions: [] }, completions },
];

function rowsOf(objective: "grpo" | "ppo" | "raft", columns: RolloutColumns) {
  const rewards = [0, 2, 1];
  const tokenizer = { decode: (ids: number[]) => ids.join(" ") } as unknown as Tokenizer;
  return rolloutRows(
    { groups, rewards, scores: { functions: [] }, round: 0, columns },
    { step: 1, tokenizer, config: { method: loadMethod({ objective }) } },
  ).map(({ advantage, selected }) => ({ advantage, selected }));
}

test("an advantage is the completion's, or the mean of its tokens'; raft says which are selected", () => {
  const none = { advantage: undefined, selected: undefined };
  assert.deepEqual(
    rowsOf("grpo", { advantages: [-1, 1, 0] }),
    [-1, 1, 0].map((advantage) => ({ ...none, advantage })),
  );
  const advantages = [[0.5], [1, -2], [0.25]].map((row) => Float32Array.from(row));
  assert.deepEqual(
    rowsOf("ppo", { advantages, oldValues: advantages, returns: advantages }),
    [0.5, -0.5, 0.25].map((advantage) => ({ ...none, advantage })),
  );
  assert.deepEqual(
    rowsOf("raft", { selected: [0, 1, 0] }),
    [false, true, false].map((selected) => ({ ...none, selected })),
  );
});
