/** What a row says of the ranks' pace, of steps whose waits and bytes are known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RankMeter } from "./rank-meter.ts";

/** The row of two steps of 2 s each on two ranks, of which the second waits for the first. */
function rowOf(hasGpus: boolean): Record<string, number> {
  const meter = new RankMeter({ usage: { waited: 0, sent: 0 }, hasGpus });
  const usages = [
    { waited: 0.25, sent: 100 },
    { waited: 0.75, sent: 300 },
  ];
  meter.add(usages, 2, 8);
  meter.add(usages, 2, 8);
  return meter.row();
}

test("the mean of the ranks' waits in the steps' time, who waited least, bytes a step", () => {
  assert.deepEqual(rowOf(false), {
    "speed/waiting_fraction": 0.25,
    "speed/slowest_rank": 0,
    "speed/sent_bytes": 208,
  });
});

test("with GPUs no row says who waited: NCCL's wait is the GPU's", () => {
  assert.deepEqual(rowOf(true), { "speed/sent_bytes": 208 });
});

test("what was taken before a step, as by an evaluation, is not the step's", () => {
  const group = { usage: { waited: 0, sent: 0 }, hasGpus: false };
  const meter = new RankMeter(group);
  group.usage = { waited: 60, sent: 1e9 };
  meter.begin();
  group.usage = { waited: 60.5, sent: 1e9 + 100 };
  assert.deepEqual(meter.take(), { waited: 0.5, sent: 100 });
});
