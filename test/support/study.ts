/** Studies on a fixture's tiny model: one short LoRA run for each condition, in the test's own process. */
import { runTrial } from "../../src/sweep/run-trial.ts";
import type { StudyDefinition } from "../../studies/definition.ts";
import type { StudyName } from "../../studies/names.ts";
import { STUDIES } from "../../studies/studies.ts";
import type { StudyOptions } from "../../studies/study.ts";
import type { RunFixture, Values } from "./runs.ts";

/** Values of a run of one step. */
const oneStep: Values = {
  max_steps: 1,
  per_device_train_batch_size: 4,
  gradient_accumulation_steps: 1,
  learning_rate: 1e-2,
  warmup_ratio: 0,
  max_length: 96,
  save_strategy: "no",
  device: "cpu",
  dtype: "float32",
  threads: 1,
  lora_r: 2,
  export_parity_tolerance: 0.1,
};

/** Options of the study `name` in a folder of the fixture; `changes` are values of all its runs. */
export function tinyStudy(place: RunFixture, name: StudyName, changes: Values = {}): StudyOptions {
  const {
    model_name_or_path: model,
    train_data: data,
    eval_data: evalData,
  } = place.values as Record<string, string>;
  const definition: StudyDefinition = STUDIES[name];
  const { learning_rate, save_strategy, ...values } = oneStep;
  const own = {
    ...(definition.learningRates === undefined ? { ...values, learning_rate } : values),
    // answers that most studies do not read would take half of the time; on-policy runs have no watch, and save nothing anyway
    ...(name === "online" ? { per_device_train_batch_size: 8 } : { save_strategy, watch_max_new_tokens: 4 }),
  };
  const isOfTwoSets = definition.needsTwoSets === true;
  return {
    name,
    output: place.path(name),
    seeds: 1,
    budget: "quick",
    config: null,
    model: model as string,
    data: data as string,
    evalData: evalData as string,
    otherData: isOfTwoSets ? (evalData as string) : null,
    otherEvalData: isOfTwoSets ? (data as string) : null,
    rewardModel: null,
    reuse: [],
    // three for each method in a study of use: what is swept here is one, in half of the time
    learningRates: definition.learningRates === undefined ? null : [1e-2],
    ownAnswers: null,
    methods: [],
    judge: null,
    overrides: Object.entries({ ...own, ...changes }).map(([key, value]) => [key, String(value)]),
    jobs: 1,
    cores: 1,
    out: { write: () => true },
    command: `preftune study ${name}`,
    runTask: runTrial,
  };
}
