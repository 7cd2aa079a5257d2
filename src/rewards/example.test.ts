/** examples/rewards.ts, loaded as a user's file is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openRewards } from "./open-rewards.ts";

test("the functions of examples/rewards.ts score text and conversations", async () => {
  const file = "examples/rewards.ts";
  await using rewards = await openRewards([`${file}#brevity`, `${file}#threeBullets`, `${file}#keywords`]);
  const ids = (length: number): number[] => Array.from({ length }, () => 1);
  const { functions } = await rewards.score({
    prompts: ["p", "p"],
    completions: ["- a\n- sea\n- c", [{ role: "assistant", content: "- a\n- b" }]],
    completion_ids: [ids(20), ids(80)],
    columns: { keywords: [["sea", "sky"], null] },
    step: 0,
  });
  assert.deepEqual(
    functions.map(({ values }) => values),
    [
      [1, 0.5],
      [1, 0],
      [1, null],
    ],
  );
});
