/** The first table: our trainer against TRL's, in turn, on the same rows, weights and settings. */
import { at } from "../../src/base/at.ts";
import { PreftuneError } from "../../src/base/errors.ts";
import type { ModelConfig } from "../../src/formats/model-config.ts";
import { completionTokens, type PairLengths, pairFlops, streamTokens } from "../../src/planner/flops.ts";
import { adapterParts, everything, type TrainedParts } from "../../src/planner/trained-parts.ts";
import { measureHere, runOurs, runPeer } from "./processes.ts";
import type { ProductsPlan, ProductsSpeed } from "./products.ts";
import { figuresOf, figuresTable, type Ratios, ratiosOf, ratiosText, type StepWork } from "./results.ts";
import {
  lossesAgree,
  type RunPlan,
  type RunRecord,
  type Spread,
  spreadOf,
  type Variant,
} from "./run-record.ts";
import { type ModelShape, modelConfigOf } from "./shapes.ts";
import type { WorkloadRow } from "./workload.ts";

/** TRL's trainers by their short names. */
export const peerNames: Readonly<Record<string, string>> = {
  dpo: "TRL DPO, live reference",
  dpo_pre: "TRL DPO, precomputed",
  simpo: "TRL SimPO",
};
const loraRank = 64;

/** One comparison. */
export interface Comparison {
  model: string;
  shape: ModelShape;
  plan: RunPlan;
  rows: readonly WorkloadRow[];
  /** Short names. */
  peers: readonly string[];
  rounds: number;
  /** How our runs differ from training. */
  variant: Variant;
  /** The Python that has TRL; null where there is none: ours alone. */
  python: string | null;
}

/** The result. */
export interface Compared {
  model: string;
  plan: RunPlan;
  variant: Variant;
  trainers: ReturnType<typeof figuresOf>[];
  ratios: Ratios[];
  /** GFLOP/s of the fastest product on this machine, and of torch's own as the peers use it. */
  gemm: { ours: Spread; peers: Spread | null };
  /** The products of a step by themselves. */
  products: ProductsSpeed;
  records: Record<string, RunRecord[]>;
}

/** Adapters of the benchmark's rank on all linears. */
function benchAdapter(model: ModelConfig): TrainedParts {
  const shape = {
    rank: loraRank,
    targetModules: [],
    targets: "all-linear",
    modulesToSave: [],
    rankPattern: {},
  };
  return adapterParts(model, { ...shape, dropout: 0, useDora: false });
}

/** The pairs of a step of a plan. */
function pairsOf(rows: readonly WorkloadRow[], { pairs }: RunPlan, step: number): PairLengths[] {
  return Array.from({ length: pairs }, (_, i) => {
    const row = at(rows, (step * pairs + i) % rows.length);
    return {
      prompt: row.prompt_ids.length,
      chosen: row.chosen_ids.length,
      rejected: row.rejected_ids.length,
    };
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

/** The speed of the products of a step, the first that is timed. */
function productsSpeed({ model, plan, rows }: Comparison): ProductsSpeed {
  const pairs = pairsOf(rows, plan, 1);
  const asked: ProductsPlan = {
    ...{ model, mode: plan.mode, threads: plan.threads },
    tokens: sum(pairs.map((pair) => streamTokens(pair))),
    completionTokens: sum(pairs.map(completionTokens)),
  };
  return measureHere("products-child.ts", asked);
}

/** What each step of a plan has to do. */
export function workOf({ rows, plan, shape }: Pick<Comparison, "rows" | "plan" | "shape">): StepWork[] {
  const model = modelConfigOf(shape);
  const trained = plan.mode === "lora" ? benchAdapter(model) : everything;
  const options = { trained, share_prompt: true, recomputed: 0 };
  return Array.from({ length: plan.steps }, (_, step) => {
    const pairs = pairsOf(rows, plan, step);
    return {
      pairs: plan.pairs,
      tokens: sum(pairs.map((p) => p.prompt + p.chosen + p.rejected)),
      flops: sum(pairs.map((p) => pairFlops(model, p, options).training)),
    };
  });
}

/**
 * Compares the losses of the first step with our trainer on the peer's own objective.
 *
 * @throws {PreftuneError} with both numbers if they differ
 */
function checkAgreement(plan: RunPlan, peer: string, record: RunRecord): string {
  const objective = peer === "simpo" ? "simpo" : "dpo";
  const ours = runOurs({ ...plan, steps: 1, objective }).losses[0] ?? Number.NaN;
  const theirs = record.losses[0] ?? Number.NaN;
  if (lossesAgree(ours, theirs)) return `step 0, ${peer}: loss ${ours} here, ${theirs} there: the same`;
  throw new PreftuneError(
    `No comparison with ${peerNames[peer]}: the losses of the first step differ, ${ours} here and ${theirs} there ` +
      "(at most 1e-4 of the value is allowed). One of the two does not compute what it says; find out which first",
  );
}

/** Records by trainer: ours under "ours", peers under their short names. Runs alternate. */
function measure(
  { plan, rounds, peers, python, variant }: Comparison,
  say: (line: string) => void,
): Map<string, RunRecord[]> {
  const records = new Map<string, RunRecord[]>();
  const note = (name: string, record: RunRecord) => {
    records.set(name, [...(records.get(name) ?? []), record]);
    const seconds = (values: number[]) => values.map((s) => s.toFixed(2)).join(" ");
    say(
      `${name}: ${seconds(record.seconds)} s (CPU ${seconds(record.cpuSeconds)}), ${Math.round(record.peakMb)} MB`,
    );
  };
  for (let round = 0; round < rounds; round++) {
    for (const peer of python === null ? [] : peers) {
      note("ours", runOurs({ ...plan, objective: "slime", variant }));
      const record = runPeer(python as string, plan, peer);
      note(peer, record);
      if (round === 0) say(checkAgreement(plan, peer, record));
    }
    if (python === null) note("ours", runOurs({ ...plan, objective: "slime", variant }));
  }
  return records;
}

/** Runs a comparison and prints its table and ratios. `isBusy`: whether other programs took time from the runs. */
export function compare(
  comparison: Comparison,
  say: (line: string) => void,
  isBusy: () => boolean,
): Compared {
  const { plan, model, rounds, variant } = comparison;
  say(
    `\n${model}, ${plan.mode}, ${plan.pairs} pairs a step, ${plan.steps} steps, ${rounds} rounds, ${plan.threads} threads`,
  );
  const records = measure(comparison, say);
  const ours = records.get("ours") ?? [];
  const theirs = [...records].flatMap(([name, of]) => (name === "ours" ? [] : of));
  const gemm = {
    ours: spreadOf(ours.map((r) => r.gemmGflops)),
    peers: theirs.length === 0 ? null : spreadOf(theirs.map((r) => r.gemmGflops)),
  };
  const work = workOf(comparison);
  const trainers = [...records].map(([name, of]) =>
    figuresOf(peerNames[name] ?? "preftune SLIME", of, work, {
      gemm: 1e9 * gemm.ours.max,
      threads: plan.threads,
    }),
  );
  const [first, ...others] = trainers;
  const ratios = first === undefined ? [] : ratiosOf(first, others);
  const busy = isBusy();
  say(`\n${figuresTable(trainers, busy)}\n`);
  if (ratios.length > 0) say(`${ratiosText(ratios, busy)}\n`);
  const torchs =
    gemm.peers === null ? "" : `; torch's own, as the peers have it: ${gemm.peers.max.toFixed(0)}`;
  say(`GEMM, the fastest there is here: ${gemm.ours.max.toFixed(0)} GFLOP/s${torchs}`);
  const products = productsSpeed(comparison);
  const part = (100 * products.gflops) / products.gemmGflops;
  say(
    `the products of a step by themselves, at their sizes: ${products.gflops.toFixed(0)} GFLOP/s, ${part.toFixed(0)} % of GEMM`,
  );
  return { model, plan, variant, trainers, ratios, gemm, products, records: Object.fromEntries(records) };
}
