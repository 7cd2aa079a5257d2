/** Child program, `model-child.ts NAME DIR`: writes a benchmark's model, seeded random weights and a tokenizer, into DIR. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../src/base/errors.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { buildModel } from "../../src/models/build.ts";
import { writeMergedModel } from "../../src/models/save.ts";
import { randomWeights } from "../../src/models/weights.ts";
import { manualSeed } from "../../src/torch/index.ts";
import { tokenizerFiles } from "./bench-tokenizer.ts";
import { configOf, shapes } from "./shapes.ts";

function write(name: string, dir: string): void {
  const shape = shapes[name];
  if (shape === undefined) {
    throw new ConfigError(`expected a model of ${Object.keys(shapes).join(", ")}, got "${name}"`);
  }
  const staging = `${dir}.new`;
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  const place = (file: string, value: unknown) =>
    writeFileSync(join(staging, file), JSON.stringify(value, null, 2));
  place("config.json", configOf(shape));
  manualSeed(0);
  writeMergedModel(staging, buildModel(readModelConfig(staging), randomWeights(0.02, 1)), "float32");
  place("config.json", configOf(shape));
  for (const [file, value] of Object.entries(tokenizerFiles)) place(file, value);
  renameSync(staging, dir);
}

const [name = "", dir = ""] = process.argv.slice(2);
write(name, dir);
