/** The products of a step: as many FLOPs as the planner counts, attention apart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pairFlops } from "../../src/planner/flops.ts";
import { everything } from "../../src/planner/trained-parts.ts";
import { flopsOf, stepProducts } from "./products.ts";
import { modelConfigOf, shapes } from "./shapes.ts";

const config = modelConfigOf(shapes["bigvocab"] as NonNullable<(typeof shapes)[string]>);
const pair = { prompt: 30, chosen: 11, rejected: 7 };
const sizes = { tokens: 46, completionTokens: 18, logitsColumns: 65_536 };

test("products of full tuning make the planner's FLOPs; attention's are a difference that its formula gives", () => {
  const products = stepProducts(config, { mode: "full", ...sizes });
  const planned = pairFlops(config, pair, { trained: everything, share_prompt: true, recomputed: 0 });
  // Σ over layers, heads and (query, key) combinations: 4 · head width forward, twice that back
  const seen = (30 * 31) / 2 + (10 * 30 + (10 * 11) / 2) + (6 * 30 + (6 * 7) / 2);
  const attention = 12 * config.numLayers * config.numHeads * 64 * seen;
  assert.equal(flopsOf(products), planned.training - attention);
});

test("a frozen weight has no gradient, and equal products are listed once", () => {
  const products = stepProducts(config, { mode: "lora", ...sizes });
  assert.ok(products.every(({ form }) => form !== "weight gradient"));
  assert.equal(flopsOf(products) * 3, flopsOf(stepProducts(config, { mode: "full", ...sizes })) * 2);
  const queries = products.filter(({ form, rows, inner, columns }) => {
    return form === "forward" && rows === 46 && inner === 256 && columns === 256;
  });
  // queries and output of each of four blocks
  assert.deepEqual(
    queries.map(({ times }) => times),
    [8],
  );
  const head = products.filter(({ form, rows }) => form === "forward" && rows === 18);
  assert.deepEqual(
    head.map(({ columns, times }) => [columns, times]),
    [
      [65_536, 2],
      [20_864, 1],
    ],
  );
});
