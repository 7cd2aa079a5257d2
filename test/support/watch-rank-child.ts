/**
 * Child program, `watch-rank-child.ts PLAN`: looks at models as the collapse watch does, as one rank of several or alone, and prints
 * for each what it saw, and the most bytes that torch had beside the parts of the model meanwhile, as JSON.
 */
import { TorchError } from "../../src/base/errors.ts";
import { stringifyNumbers } from "../../src/base/json-numbers.ts";
import { readLaunch } from "../../src/distributed/launch.ts";
import { RankGroup } from "../../src/distributed/rank-group.ts";
import { failingTogether } from "../../src/distributed/together.ts";
import type { Block, Decoder } from "../../src/models/causal-lm.ts";
import type { SamplingWay } from "../../src/recipes/sampling-way.ts";
import { watchOf } from "../../src/recipes/watch.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import { hostBytes, setThreads } from "../../src/torch/index.ts";
import { prepareModel, type TrainedModel } from "../../src/train/prepare-model.ts";
import { prepareSharded } from "../../src/train/prepare-sharded.ts";
import type { HoldingRanks } from "../../src/train/step-ranks.ts";
import type { ExportCase } from "./export-cases.ts";

/** Which models are looked at, in which ways, with how many prompts. */
export interface WatchPlan {
  cases: Pick<ExportCase, "name" | "selection" | "dtype">[];
  ways: SamplingWay[];
  prompts: number;
  /** On rank 1 the second block fails once, in the second pass through it. */
  fails?: boolean;
}

const { cases, ways, prompts: count, fails = false } = JSON.parse(process.argv[2] ?? "{}") as WatchPlan;
setThreads(1);
const launch = readLaunch();
using group =
  launch === null ? null : await RankGroup.join(launch, { rank_start_timeout: 60, rank_timeout: 60 });
const config = { watch_temperature: 1, watch_max_new_tokens: 12, watch_samples: 2, seed: 3 };
const tokenizer = { decode: (ids: readonly number[]) => ids.join(" ") } as unknown as Tokenizer;
// answers of different lengths: some end themselves
const data = { stopIds: new Set([1, 5, 9]), tokenizer };
const prompts = Array.from({ length: count }, (_, i) => ({ text: `${i}`, ids: [3, 1 + i, 4, 2 * i] }));

function failOnce({ model }: Decoder): void {
  const block = model.layers[1] as Block;
  const forward = block.forward.bind(block);
  let passes = 0;
  block.forward = (...args) => {
    if (++passes === 2) throw new TorchError("planted");
    return forward(...args);
  };
}

let most = 0;
if (group !== null) {
  const allGather = group.allGather.bind(group);
  group.allGather = (...args) => {
    const pending = allGather(...args);
    most = Math.max(most, hostBytes());
    return pending;
  };
}
for (const { selection, dtype } of cases) {
  const environment = { device: "cpu", dtype, threads: 1, matmul: "torch" } as const;
  const prepared: TrainedModel & Partial<Pick<HoldingRanks, "sharded">> =
    group === null
      ? prepareModel(selection, environment)
      : prepareSharded(selection, environment, { group, keep_gathered: false });
  const { model, sharded = null } = prepared;
  const numerics = { dtype, gradient_checkpointing: false, logits_chunk_size: null };
  if (fails && group?.rank === 1) failOnce(model);
  for (const way of ways) {
    const ranks = group === null ? null : { group, sharded };
    const watch = watchOf(config, { model, numerics, ranks }, data, { prompts, way });
    const before = hostBytes();
    most = 0;
    const seen = await failingTogether(group, () => watch.look());
    process.stdout.write(
      `${stringifyNumbers({ ...seen, most: most - before, left: hostBytes() - before })}\n`,
    );
  }
  prepared.dispose();
}
