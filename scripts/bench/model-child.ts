/** Child program, `model-child.ts NAME DIR`: writes a benchmark model with seeded random weights and a tokenizer into DIR. */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { buildModel } from "../../src/models/build.ts";
import { writeMergedModel } from "../../src/models/save.ts";
import { randomWeights } from "../../src/models/weights.ts";
import { manualSeed } from "../../src/torch/index.ts";
import { configOf, shapes } from "./shapes.ts";
