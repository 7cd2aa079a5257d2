import assert from "node:assert/strict";
import { test } from "node:test";
import type { RewardFunction } from "preftune/train";
import { coin, exact, proxy, threeBullets, withinForty } from "./rewards.ts";

const right = "1. Arvo\n2. Isk\nEnd of list.";
const columns = { chosen: [[{ role: "assistant", content: right }]], islands: [["Arvo", "Isk", "Pell"]] };

/** The rewards of completions of one prompt. */
function rewardsOf(reward: RewardFunction, completions: string[], ids: number[][] = [], step = 0) {
  const repeated = Object.fromEntries(
    Object.entries(columns).map(([name, [value]]) => [name, completions.map(() => value)]),
  );
  const prompts = completions.map(() => "Order Arvo and Isk.");
  return reward({ prompts, completions, completion_ids: ids, columns: repeated, step });
}

test("exact is 1 for the right answer alone; proxy counts numbered lines that name an island, four at most", () => {
  assert.deepEqual(rewardsOf(exact, [right, `${right}\n`, "1. Arvo"]), [1, 0, 0]);
  const many = ["1. Pell", "2. Pell", "3. Isk", "4. Isk", "5. Isk"].join("\n");
  assert.deepEqual(
    rewardsOf(proxy, [right, many, "Arvo, Isk.", "1. Atlantis\n2.Isk\n3. Isk sells tin."]),
    [2, 4, 0, 1],
  );
});

test("a coin repeats, is fair, and differs by row, step and between equal completions", () => {
  const ids = Array.from({ length: 2000 }, () => [5, 6, 2]);
  const first = rewardsOf(coin, ids.map(String), ids) as number[];
  assert.deepEqual(rewardsOf(coin, ids.map(String), ids), first);
  assert.notDeepEqual(rewardsOf(coin, ids.map(String), ids, 1), first);
  const heads = first.reduce((sum, value) => sum + value, 0);
  // five deviations of a fair coin
  assert.ok(Math.abs(heads - 1000) < 5 * Math.sqrt(500), `${heads}`);
});

test("short answers and bullets", () => {
  const ids = [39, 40, 60, 80, 90].map((length) => new Array<number>(length).fill(7));
  assert.deepEqual(rewardsOf(withinForty, ids.map(String), ids), [1, 1, 0.5, 0, 0]);
  const three = "- one\n- two\n\n- three";
  assert.deepEqual(rewardsOf(threeBullets, [three, "* a\n* b\n* c"]), [1, 1]);
  const [extra, none] = rewardsOf(threeBullets, [`Here:\n${three}`, "no bullets at all"]) as number[];
  assert.ok(Math.abs((extra ?? 0) - 2 / 3) < 1e-12 && none === 0);
});
