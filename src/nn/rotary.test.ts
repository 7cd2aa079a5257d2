/** Rotary frequencies and rotations against transformers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { float32, golden } from "../../test/support/goldens.ts";
import { parseRope } from "../formats/hf-rope.ts";
import { JsonFields } from "../formats/json-fields.ts";
import type { RopeConfig } from "../formats/model-config.ts";
import { ops, tensor } from "../torch/index.ts";
import { inverseFrequencies, rotaryAngles, rotaryTable, rotate } from "./rotary.ts";

interface Case {
  headDim: number;
  rope: Record<string, unknown>;
  inverse: number[];
  positions?: number[];
  q: number[];
  rotated: number[];
}

const { rotary } = golden<{ rotary: Case[] }>("nn");

function configOf(rope: Record<string, unknown>): RopeConfig {
  const fields = new JsonFields({ rope_parameters: rope }, "golden");
  return parseRope(fields, { theta: 1, kinds: ["default", "linear", "llama3"] });
}

for (const run of rotary) {
  const { rope, headDim } = run;
  const name = `${rope["rope_type"]}, base ${rope["rope_theta"]}, ${headDim} wide`;

  test(`${name}: frequencies`, () => {
    const got = inverseFrequencies(configOf(rope), headDim);
    assert.equal(got.length, headDim / 2);
    assertClose([...got], float32(run.inverse), { rtol: 4e-7 });
  });

  if (run.positions === undefined) continue;
  const positions = run.positions;

  test(`${name}: rotation`, () => {
    withoutLeaks(() => {
      const angles = rotaryAngles(
        rotaryTable(configOf(rope), headDim, false),
        tensor(positions, [positions.length], { dtype: "int64" }),
        "float32",
      );
      const q = tensor(run.q, [positions.length, 2, headDim]);
      // an angle of 8000 has an absolute error of 5e-4 in float32: the last digit of a frequency shows there
      const turned = rotate(q, angles, headDim).toNumbers();
      const perPosition = 2 * headDim;
      positions.forEach((position, t) => {
        const slice = (values: readonly number[]) => values.slice(t * perPosition, (t + 1) * perPosition);
        assertClose(slice(turned), slice(run.rotated), { atol: 2e-6 + 1e-6 * position });
      });
    });
  });
}

test("position 0 turns nothing; a quarter turn swaps the halves", () => {
  withoutLeaks(() => {
    const x = tensor([1, 2, 3, 4], [1, 1, 4]);
    const still = rotaryAngles(
      { inverse: Float32Array.of(1, 0.5), factor: 1, isExact: false },
      tensor([0], [1], { dtype: "int64" }),
      "float32",
    );
    assert.deepEqual(rotate(x, still, 4).toNumbers(), [1, 2, 3, 4]);
    const quarter = rotaryAngles(
      { inverse: Float32Array.of(Math.PI / 2, 0), factor: 1, isExact: false },
      tensor([1], [1], { dtype: "int64" }),
      "float32",
    );
    assertClose(rotate(x, quarter, 4), [-3, 2, 1, 4], { atol: 1e-6 });
  });
});

test("scores depend on the distance of two positions alone", () => {
  withoutLeaks(() => {
    const table = rotaryTable({ theta: 100, share: 1, scaling: { kind: "none" } }, 4, false);
    const q = tensor([0.3, -1, 2, 0.5], [1, 1, 4]);
    const k = tensor([1, 0.2, -0.7, 1.5], [1, 1, 4]);
    const score = (i: number, j: number) => {
      const at = (position: number) =>
        rotaryAngles(table, tensor([position], [1], { dtype: "int64" }), "float32");
      return ops.sum(ops.mul(rotate(q, at(i), 4), rotate(k, at(j), 4))).item();
    };
    assertClose(score(9, 4), score(5, 0), { atol: 1e-5 });
    assert.ok(Math.abs(score(9, 4) - score(9, 5)) > 1e-2);
  });
});
