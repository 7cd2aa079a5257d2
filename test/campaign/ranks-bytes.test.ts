/** What a rank sends in a step of training, counted on the interface of its host; one case in `npm test`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isNightly } from "../support/campaign.ts";
import { Hosts, skipWithoutHosts } from "../support/hosts.ts";
import { allEnded, placesOn } from "../support/rank-processes.ts";
import { runFixture, tensorsOf, type Values } from "../support/runs.ts";

/** Bytes that rank 0 sends in each step but the first, of one micro-batch. */
async function bytesOfSteps(size: number, values: Values): Promise<number[]> {
  using hosts = await Hosts.start(size);
  const each = Array.from({ length: size }, (_, rank) => rank);
  const ranks = placesOn(each, 29500, hosts.address(0)).map((place, rank) =>
    hosts.start(rank, ["test/support/bytes-rank-child.ts"], { ...place, VALUES: JSON.stringify(values) }),
  );
  const ends = await allEnded(ranks);
  for (const { status, stderr } of ends) assert.equal(status, 0, stderr);
  const sent = JSON.parse(ends[0]?.stdout.trim().split("\n").at(-1) ?? "") as number[];
  return sent.slice(1).map((bytes, i) => bytes - (sent[i] ?? 0));
}

/** Ranks, whether blocks stay gathered, and how often the others' part of the weights is sent. */
const cases = [
  [2, false, 3],
  [3, false, 3],
  [3, true, 2],
] as const;

test("a step sends three times the others' share of the weights, twice where blocks stay gathered, 2 % more at most", {
  skip: skipWithoutHosts(),
}, async (t) => {
  const config = { hidden_size: 256, intermediate_size: 1024, num_hidden_layers: 4 };
  using fixture = runFixture({ config, rows: 12, held: 0 });
  const weights = [...tensorsOf(fixture.path("base", "model.safetensors")).values()];
  const bytes = 4 * weights.reduce((sum, { length }) => sum + length, 0);
  for (const [size, keepGathered, times] of isNightly ? cases : cases.slice(0, 1)) {
    const values = {
      ...{
        ...fixture.values,
        objective: "simpo",
        use_peft: false,
        shard: "all",
        keep_gathered: keepGathered,
      },
      ...{ per_device_train_batch_size: 1, train_batch_size: size, max_steps: 3, save_strategy: "no" },
      output_dir: fixture.path(`run-${size}-${keepGathered}`),
    };
    const formula = (times * (size - 1) * bytes) / size;
    const shares = (await bytesOfSteps(size, values)).map((sent) => sent / formula);
    const what = `${size} ranks, kept ${keepGathered}: ${shares.map((share) => share.toFixed(4)).join(", ")}`;
    t.diagnostic(what);
    for (const share of shares) assert.ok(share > 0.8 && share <= 1.02, what);
  }
});
