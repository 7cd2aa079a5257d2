/**
 * Ten thousand optimiser steps in bfloat16, nearly each with a number of tokens of its own: what libraries compile for a shape of a product
 * does not pile up.
 */
import { test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { skipWithoutBfloat16 } from "../support/half-precision.ts";
import { soakSteps } from "../support/soak-steps.ts";

const random = new Random(8);
const ids = () => Array.from({ length: 1 + random.below(80) }, () => 3 + random.below(60));
const rows = Array.from({ length: 4000 }, () => ({
  prompt_ids: ids(),
  chosen_ids: [...ids(), 2],
  rejected_ids: [...ids(), 2],
}));

test(
  "steps of training in bfloat16, each with other lengths, leave no tensor and no memory behind",
  {
    skip: skipWithoutBfloat16(),
  },
  () =>
    soakSteps(
      "in bfloat16, each with other lengths",
      { dtype: "bfloat16", use_peft: false, max_length: 256 },
      rows,
    ),
);
