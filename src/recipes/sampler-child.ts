/** Program of the process that samples and scores rollouts ahead. Started by sampler-process.ts. */
import { goOnWithoutOutput } from "../base/lost-output.ts";
import { printWarnings } from "../base/warn.ts";
import { readSafetensorsHeader } from "../formats/safetensors.ts";
import { settleEnvironment } from "../forward/environment.ts";
import { readTensorsInto } from "../models/read-tensors.ts";
import { drawRollout } from "../online/draw-rollout.ts";
import { Queue } from "../online/queue.ts";
import { originsOf, sizesOf } from "../online/rollout.ts";
import { hostSampler, type OpenSampler } from "../online/sampler-host.ts";
import type { SampledRollout, SamplerSettings, SamplerTask } from "../online/sampler-messages.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { seeded, setDeterministic } from "../torch/index.ts";
import { prepareModel } from "../train/prepare-model.ts";
import { OnlineRun } from "./online.ts";

printWarnings();
goOnWithoutOutput();
hostSampler(open);

/** Opens the model that is trained, and what scores. */
async function open({ config: runConfig, matmul, stopIds }: SamplerSettings): Promise<OpenSampler> {
  const config = { ...runConfig, max_staleness: 0 };
  const environment = settleEnvironment(config, matmul);
  setDeterministic(true);
  await using opening = new AsyncDisposableStack();
  const online = opening.use(await OnlineRun.open(config, undefined, runConfig.max_staleness));
  const tokenizer = loadTokenizer(config.model_name_or_path);
  const scorer = online.scorer({ tokenizer, stopIds }, environment);
  const trained = seeded(config.seed, () => prepareModel(config, environment));
  opening.defer(() => trained.dispose());
  const { model, parameters } = trained;
  const parts = { config, model, dtype: environment.dtype, scorer, tokenizer, stopIds };
  let weights: string | null = null;
  // one after the other, but the next may be sampled while one is scored
  const sampling = new Queue();
  const scoring = new Queue();

  /** Puts the trained tensors of the file into the model. */
  function load(file: string): void {
    if (file === weights) return;
    readTensorsInto([readSafetensorsHeader(file)], parameters.tensors, "policy");
    weights = file;
  }

  async function run(task: SamplerTask, how: Parameters<OpenSampler["run"]>[1]): Promise<unknown> {
    if (task.type === "score") {
      const { input, groups, isHeldOut } = task;
      const { signal } = how;
      const options = {
        groupSizes: sizesOf(groups),
        groups,
        origins: originsOf(groups),
        isHeldOut,
        ...(signal === undefined ? {} : { signal }),
      };
      return scoring.add(() => scorer.score(input, options));
    }
    const drawn = await drawRollout(parts, task.request, how, {
      sampling: (work) =>
        sampling.add(() => {
          load(task.weights);
          return work();
        }),
      scoring: (work) => scoring.add(work),
    });
    const groups = drawn.groups.map(({ index, completions }) => ({ index, completions }));
    return { ...drawn, groups } satisfies SampledRollout;
  }

  const moved = opening.move();
  return { run, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}
