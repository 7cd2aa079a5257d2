/** Ten thousand optimiser steps of all weights: no tensor and no memory is left behind. */
import { test } from "node:test";
import { soakSteps } from "../support/soak-steps.ts";

test("steps of training of all weights leave no tensor and no memory behind", () =>
  soakSteps("of all weights", { use_peft: false }));
