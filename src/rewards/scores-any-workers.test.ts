/** Scores depend on the completions and their groups alone: not on the number of worker processes, nor on their order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hangsOn, inFolderOf, inputOf, obedient } from "../../test/support/reward-files.ts";
import { openRewards } from "./open-rewards.ts";

inFolderOf({ "rewards.ts": obedient });

const completion = fc.oneof(
  { weight: 12, arbitrary: fc.string({ maxLength: 6 }).map((text) => `.${text}`) },
  { weight: 4, arbitrary: fc.constantFrom("null", "nan", "throw") },
  { weight: 1, arbitrary: fc.constantFrom("hang", "exit") },
);

/** What the function gives each completion. */
function expected(text: string): number | null {
  return ["null", "nan", "throw", "hang", "exit"].includes(text) ? null : text.length;
}

test("one worker or three, groups of any size: the same scores for the same reasons", async () => {
  const settings = { timer: hangsOn("hang"), reward_max_failures: 1 };
  await using one = await openRewards(["rewards.ts#obey", "rewards.ts#bestOfGroup"], {
    ...settings,
    reward_workers: 1,
  });
  await using three = await openRewards(["rewards.ts#obey", "rewards.ts#bestOfGroup"], {
    ...settings,
    reward_workers: 3,
  });
  const groups = fc.array(fc.array(completion, { maxLength: 5 }), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(groups, async (drawn) => {
      const input = inputOf(drawn.flat());
      const options = { groupSizes: drawn.map(({ length }) => length) };
      const scored = await Promise.all([one, three, three].map((each) => each.score(input, options)));
      const plain = scored.map(({ functions }) => functions.map(({ seconds: _, ...rest }) => rest));
      assert.deepEqual(plain[1], plain[0]);
      assert.deepEqual(plain[2], plain[0]);
      assert.deepEqual(plain[0]?.[0]?.values, drawn.flat().map(expected));
      const apart = await one.score(input, { groupSizes: drawn.flat().map(() => 1) });
      assert.deepEqual(apart.functions[0]?.values, plain[0]?.[0]?.values);
    }),
    { numRuns: 5 },
  );
});
