/** The groups of ranks that a layout makes, and that they end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RankGroup } from "../distributed/rank-group.ts";
import { rankLayout } from "./rank-layout.ts";

/** Rank 2 of four on two hosts; `ended` gets the names of its parts. */
function groupOf(ended: string[]): RankGroup {
  const split = (name: string, ranks: readonly number[]) => ({
    ranks,
    [Symbol.dispose]: () => ended.push(name),
  });
  const group = { rank: 2, size: 4, split };
  return {
    ...group,
    hosts: [
      [0, 1],
      [2, 3],
    ],
  } as unknown as RankGroup;
}

test("shard: node: the ranks of the host, those of the same place on each host, and both end with what the run holds", () => {
  const ended: string[] = [];
  const memory = new DisposableStack();
  const { sharers, replicas, once } = rankLayout(groupOf(ended), "node", memory);
  const ranksOf = (group: unknown) => (group as { ranks: readonly number[] }).ranks;
  assert.deepEqual(
    [ranksOf(sharers), ranksOf(replicas), once],
    [
      [2, 3],
      [0, 2],
      [0, 1],
    ],
  );
  memory.dispose();
  assert.deepEqual(ended, ["replicas", "node"]);
});

test("the group of the run is not the layout's to end", () => {
  for (const shard of ["none", "all"] as const) {
    const ended: string[] = [];
    using memory = new DisposableStack();
    const group = groupOf(ended);
    const { sharers, replicas } = rankLayout(group, shard, memory);
    assert.equal(shard === "none" ? replicas : sharers, group);
    memory.dispose();
    assert.deepEqual(ended, []);
  }
});
