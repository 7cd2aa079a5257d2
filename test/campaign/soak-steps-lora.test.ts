/** Ten thousand optimiser steps with LoRA and dropout: no tensor and no memory is left behind. */
import { test } from "node:test";
import { soakSteps } from "../support/soak-steps.ts";

test("steps of training with LoRA and dropout leave no tensor and no memory behind", () =>
  soakSteps("with LoRA and dropout", { use_peft: true, lora_dropout: 0.05 }));
