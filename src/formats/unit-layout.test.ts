import assert from "node:assert/strict";
import { test } from "node:test";
import { UnitLayout, type UnitTensor } from "./unit-layout.ts";

const tensors: UnitTensor[] = [
  { name: "norm", shape: [5], dtype: "float32", trained: true },
  { name: "frozen", shape: [3, 3], dtype: "bfloat16", trained: false },
  { name: "up", shape: [7, 9], dtype: "bfloat16", trained: true },
  { name: "down", shape: [2, 5], dtype: "bfloat16", trained: true },
  { name: "bias", shape: [1], dtype: "float32", trained: true },
];

for (const ranks of [1, 2, 3, 4, 7, 64]) {
  test(`${ranks} ranks: each number is in one part, and what a rank updates is one stretch`, () => {
    const layout = new UnitLayout(tensors, ranks);
    assert.equal(layout.partBytes % 16, 0);
    const parts = Array.from({ length: ranks }, (_, rank) => layout.pieces(rank));
    for (const { name, shape } of tensors) {
      const pieces = parts.flat().filter(({ segment }) => segment.name === name);
      let next = 0;
      for (const { from, to } of pieces) {
        assert.equal(from, next);
        next = to;
      }
      assert.equal(
        next,
        shape.reduce((a, b) => a * b, 1),
      );
    }
    let place = 0;
    for (const rank of parts.keys()) {
      for (const region of layout.trained) {
        const { from, to } = layout.share(rank, region);
        if (to === from) continue;
        assert.equal(region.first + from, place);
        place += to - from;
      }
    }
    assert.equal(place, layout.trainedNumel);
    for (const [rank, pieces] of parts.entries()) {
      for (const piece of pieces.filter(({ segment }) => segment.trained)) {
        const { kind, place: first } = layout.placeInShare(piece, rank);
        const region = layout.trained.find((one) => one.kind === kind);
        assert.ok(region !== undefined);
        const { from, to } = layout.share(rank, region);
        assert.ok(first >= 0 && first + piece.to - piece.from <= to - from);
        assert.equal(region.first + from + first, layout.placeOf(piece.segment) + piece.from);
      }
    }
    assert.equal(
      layout.trainedCounts().reduce((a, b) => a + b, 0),
      layout.trainedNumel,
    );
  });
}

test("matrices come first, then vectors, then what is frozen, each at a multiple of 16 bytes", () => {
  const { segments, trained, ...layout } = new UnitLayout(tensors, 2);
  assert.deepEqual(
    segments.map(({ name, begin }) => [name, begin]),
    [
      ["up", 0],
      ["down", 128],
      ["norm", 160],
      ["bias", 192],
      ["frozen", 208],
    ],
  );
  assert.equal(layout.partBytes, 128);
  assert.deepEqual(
    trained.map(({ kind, first, numel }) => [kind, first, numel]),
    [
      ["decaying", 0, 80],
      ["exempt", 80, 12],
    ],
  );
});

test("trained matrices of two types are refused by name", () => {
  const mixed = tensors.map((tensor) =>
    tensor.name === "down" ? { ...tensor, dtype: "float32" as const } : tensor,
  );
  assert.throws(() => new UnitLayout(mixed, 2), /one type in a unit, got up in bfloat16 and down in float32/);
});

test("DoRA's magnitudes are updated with the matrices, which decay", () => {
  const trained = { dtype: "float32", trained: true } as const;
  const layout = new UnitLayout(
    [
      { name: "base_model.model.q_proj.lora_magnitude_vector", shape: [6], ...trained },
      { name: "base_model.model.q_proj.bias", shape: [6], ...trained },
      { name: "base_model.model.q_proj.lora_A.weight", shape: [2, 4], ...trained },
    ],
    2,
  );
  assert.deepEqual(
    layout.trained.map(({ kind, numel }) => [kind, numel]),
    [
      ["decaying", 16],
      ["exempt", 8],
    ],
  );
});
