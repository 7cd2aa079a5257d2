/**
 * Two thousand rollouts in bfloat16, the default where a processor computes in it. Nearly each has lengths of its own, and the caches of
 * torch's libraries, which hold some dozens of compiled products, are full after hundreds.
 */
import { test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { skipWithoutBfloat16 } from "../support/half-precision.ts";
import { soakRollouts } from "../support/soak-rollouts.ts";

const random = new Random(9);
const animals = ["owl", "cat", "dog"];
const rows = Array.from({ length: 500 }, () => ({
  prompt: Array.from({ length: 1 + random.below(40) }, () => random.pick(animals)).join(" "),
}));

test(
  "rollouts in bfloat16, each with other lengths, leave no tensor and no memory behind",
  { skip: skipWithoutBfloat16() },
  () =>
    soakRollouts(" in bfloat16, each with other lengths", { dtype: "bfloat16" }, rows, {
      count: 2000,
      warmUp: 500,
    }),
);
