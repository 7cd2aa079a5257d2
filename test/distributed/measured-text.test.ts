/** What evaluations measure by, files of their own, is the same on all hosts, or the run does not begin. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { skipWithoutNames, startOnNamed } from "../support/named-hosts.ts";
import { allEnded } from "../support/rank-processes.ts";
import { runFixture } from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 6, held: 3 });
after(() => fixture[Symbol.dispose]());

for (const [key, what] of [
  ["drift_data", "drift_data\\[0\\]/own.jsonl"],
  ["watch_prompts", "prompts of watch_prompts"],
] as const) {
  test(`hosts whose ${key} differ end with the same words`, { skip: skipWithoutNames() }, async () => {
    const folders = [4, 9].map((rows) => {
      const folder = fixture.path(`${key} of ${rows}`);
      mkdirSync(folder);
      writeRows(join(folder, "own.jsonl"), pairRows(20).slice(-rows));
      return folder;
    });
    const values = { ...fixture.values, [key]: "own.jsonl", shard: "all", max_steps: 1 };
    const plan = JSON.stringify({ ...values, output_dir: fixture.path(`run ${key}`) });
    const variables = (host: number) => ({
      VALUES: plan,
      PREFTUNE_ROW_CACHE: fixture.path(`cache of ${host}`),
    });
    const ranks = await startOnNamed(
      [1, 1],
      ["train-rank-child.ts"],
      variables,
      (host) => folders[host] ?? "",
    );
    for (const { status, stdout, stderr } of await allEnded(ranks)) {
      assert.equal(status, 2, stderr);
      assert.match(
        (JSON.parse(stdout) as { error: string }).error,
        new RegExp(`the ranks of this run differ:\n {2}${what}: .*Copy the same files`, "s"),
      );
    }
  });
}
