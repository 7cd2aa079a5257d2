import assert from "node:assert/strict";
import { test } from "node:test";
import { deviceOfRank } from "./machine-of-rank.ts";

const four = ["cuda:0", "cuda:1", "cuda:2", "cuda:3", "cpu"];

test("a rank computes on the GPU of its local rank, on the only one it sees, or on the CPU", () => {
  const place = { localRank: 2, localSize: 4 };
  assert.equal(deviceOfRank("auto", place, four), "cuda:2");
  assert.equal(deviceOfRank("cuda", place, four), "cuda:2");
  assert.equal(deviceOfRank("auto", place, ["cuda:0", "cpu"]), "cuda:0");
  assert.equal(deviceOfRank("cpu", place, four), "cpu");
  assert.equal(deviceOfRank("auto", place, ["cpu"]), "auto");
});

test("one GPU by number is refused, and more ranks on a host than GPUs", () => {
  assert.throws(
    () => deviceOfRank("cuda:3", { localRank: 0, localSize: 2 }, four),
    /^ConfigError: device: "cuda:3" is one GPU/,
  );
  for (const localRank of [0, 5]) {
    const tooMany = { localRank, localSize: 8 };
    assert.throws(
      () => deviceOfRank("auto", tooMany, four),
      /8 ranks were started on a host that has 4 GPUs: .*--nproc-per-node 4/,
    );
  }
});
