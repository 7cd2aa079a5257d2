/** Slices that some ranks wrote, read by others: every number comes back, whatever the numbers of ranks. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { FormatError } from "../base/errors.ts";
import { Random } from "../base/random.ts";
import { readSafetensorsHeader } from "../formats/safetensors.ts";
import { writeSafetensors } from "../formats/safetensors-write.ts";
import { isSliceFile, openSliceFiles, SliceIndex, sliceFileName, sliceName } from "../formats/slices.ts";
import { UnitLayout, type UnitTensor } from "../formats/unit-layout.ts";
import { ops, tensor } from "../torch/index.ts";
import { tensorSource } from "./save.ts";
import { readSlices } from "./sliced-source.ts";

/** Trained tensors of a unit with their numbers. */
type Unit = { tensors: UnitTensor[]; numbers: Map<string, number[]> };

function randomUnits(random: Random): Unit[] {
  return Array.from({ length: 3 }, (_, unit) => {
    const tensors = Array.from({ length: 1 + random.below(5) }, (_, i): UnitTensor => {
      const isMatrix = random.below(2) === 0;
      const shape = isMatrix ? [1 + random.below(9), 1 + random.below(9)] : [1 + random.below(20)];
      return { name: `unit.${unit}.${i}`, shape, dtype: isMatrix ? "bfloat16" : "float32", trained: true };
    });
    const numbers = new Map(
      tensors.map(({ name, shape }) => {
        const numel = shape.reduce((product, size) => product * size, 1);
        return [name, Array.from({ length: numel }, () => Math.fround(random.next()))];
      }),
    );
    return { tensors, numbers };
  });
}

/** What a rank has of the units: name, first number and the one after the last. */
function piecesOf(units: readonly Unit[], ranks: number, rank: number) {
  return units.flatMap(({ tensors, numbers }) =>
    new UnitLayout(tensors, ranks).pieces(rank).map(({ segment: { name, numel }, from, to }) => {
      return { name, numel, from, to, numbers: (numbers.get(name) ?? []).slice(from, to) };
    }),
  );
}

/** Writes the file of each rank; their names. */
function writeFiles(dir: string, units: readonly Unit[], ranks: number): string[] {
  return Array.from({ length: ranks }, (_, rank) => {
    const sources = piecesOf(units, ranks, rank).map(({ name, from, to, numbers }) =>
      tensorSource(sliceName(name, from, to), tensor(numbers)),
    );
    writeSafetensors(join(dir, sliceFileName(rank, ranks)), sources);
    return sliceFileName(rank, ranks);
  });
}

function assertRead(index: SliceIndex, units: readonly Unit[], ranks: number): void {
  for (let rank = 0; rank < ranks; rank++) {
    const pieces = piecesOf(units, ranks, rank);
    const wanted = pieces.map((piece) => ({ ...piece, into: ops.zeros([piece.to - piece.from]) }));
    readSlices(index, wanted, "model");
    for (const { into, numbers } of wanted) assert.deepEqual(into.toNumbers(), numbers);
  }
}

const sizes = [1, 2, 3, 4, 7];

for (const writers of sizes) {
  test(`what ${writers} ranks wrote is read by ${sizes.join(", ")}`, () => {
    const units = randomUnits(new Random(writers));
    withoutLeaks(() => {
      using dir = temporaryDirectory();
      const names = writeFiles(dir.path, units, writers);
      assert.ok(names.every(isSliceFile));
      const index = new SliceIndex(dir.path, openSliceFiles(dir.path, [...names, "config.json"]));
      for (const { numbers } of units) {
        for (const [name, { length }] of numbers) assert.equal(index.numel(name), length);
      }
      for (const ranks of sizes) assertRead(index, units, ranks);
    });
  });
}

test("complete tensors are read by ranges too, in the type that is asked for", () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    const path = join(dir.path, "model.safetensors");
    const weight = ops.to(tensor([1, 2, 3, 4, 5, 6], [2, 3]), "bfloat16");
    // in a model's file a name is a name, whatever it looks like
    writeSafetensors(path, [tensorSource("weight@0-6", weight)]);
    const index = new SliceIndex(dir.path, [readSafetensorsHeader(path)]);
    const into = ops.zeros([3], { dtype: "float32" });
    readSlices(index, [{ name: "weight@0-6", numel: 6, from: 2, to: 5, into }], "model");
    assert.deepEqual(into.toNumbers(), [3, 4, 5]);
  });
});

/** What the second rank wrote beside "w@0-2", and what is said of it when the numbers 1 to before 4 are wanted. */
const misfits: [string, Record<string, number[]>, RegExp][] = [
  ["a gap", { "w@3-4": [4] }, /of tensor "w" numbers 2 to 3 are missing \(at .*rank-00001-of-00002/],
  ["numbers twice", { "w@1-4": [2, 3, 4] }, /numbers from 1 are there twice/],
  ["another count than its name says", { "w@2-4": [3] }, /"w@2-4" has 1 numbers, its name says 2/],
  ["another size", { "w@2-3": [3] }, /tensor "w" has 3 numbers, this model asks for 4/],
  [
    "not finite",
    { "w@2-4": [3, Number.NaN] },
    /tensor "w@2-4" holds numbers that are not finite: 1 NaN of 2/,
  ],
];

for (const [what, second, message] of misfits) {
  test(`slices that do not fit, or not what is wanted, are refused by name: ${what}`, () => {
    using dir = temporaryDirectory();
    const files: Record<string, number[]>[] = [{ "w@0-2": [1, 2] }, second];
    const names = files.map((tensors, rank) => {
      const sources = Object.entries(tensors).map(([name, values]) => tensorSource(name, tensor(values)));
      writeSafetensors(join(dir.path, sliceFileName(rank, 2)), sources);
      return sliceFileName(rank, 2);
    });
    const read = (): void => {
      const index = new SliceIndex(dir.path, openSliceFiles(dir.path, names));
      readSlices(index, [{ name: "w", numel: 4, from: 1, to: 4, into: ops.zeros([3]) }], "model");
    };
    assert.throws(read, (error: Error) => error instanceof FormatError && message.test(error.message));
  });
}
