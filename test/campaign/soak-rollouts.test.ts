/** A thousand rollouts in one run: as many tensors live at the end as at the beginning, and memory stays as it is. */
import { test } from "node:test";
import { soakRollouts } from "../support/soak-rollouts.ts";

test("rollouts leave no tensor and no memory behind", () => soakRollouts());
