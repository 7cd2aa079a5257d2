/**
 * The walk through a model in parts, in one process that holds the only part: what is begun is what the planner says, one unit is
 * gathered ahead, at most two exchanges are under way, and gradients are those of the complete model.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { freePort } from "../../test/support/rank-processes.ts";
import { assertSameNorm, selectionOf } from "../../test/support/sharded-pass.ts";
import { makeTinyModel } from "../../test/support/tiny-model.ts";
import { type TinyName, temporaryDirectory } from "../../test/support/tiny-models.ts";
import { type Pending, RankGroup } from "../distributed/rank-group.ts";
import type { Environment } from "../forward/environment.ts";
import type { Residence } from "../models/causal-lm.ts";
import { passCollectives } from "../planner/collectives.ts";
import { adapterParts, everything } from "../planner/trained-parts.ts";
import { plannedUnits } from "../planner/units.ts";
import type { ShardGroup } from "../sharding/sharded-unit.ts";
import { scope, seeded, type Tensor } from "../torch/index.ts";
import { prepareModel } from "./prepare-model.ts";
import { prepareSharded } from "./prepare-sharded.ts";

const environment: Environment = { device: "cpu", dtype: "float32", threads: 1, matmul: "torch" };
const alone = await RankGroup.join(
  {
    ...{ launcher: "variables", rank: 0, size: 1, localRank: 0, localSize: 1, round: 0 },
    ...{ host: "127.0.0.1", port: await freePort(), isStoreOurs: true },
  },
  { rank_start_timeout: 60, rank_timeout: 60 },
);
after(() => alone[Symbol.dispose]());

/** What happened, in its order. */
interface Happened {
  what: "begun" | "waited" | "entered" | "left";
  operation: string;
  of: string;
  bytes: number;
}

/** A group of this process alone, and what happens in it. */
class WatchedGroup implements ShardGroup {
  readonly rank = 0;
  readonly size = 1;
  readonly happened: Happened[] = [];
  readonly #group: RankGroup;

  constructor(group: RankGroup) {
    this.#group = group;
  }

  allGather(output: Tensor, input: Tensor, of: string): Pending {
    const pending = this.#group.allGather(output, input, of);
    return this.#watched(pending, { operation: "allGather", of, bytes: output.numel });
  }

  exchange(output: Tensor, input: Tensor, counts: readonly number[], of: string): Pending {
    const pending = this.#group.exchange(output, input, counts, of);
    return this.#watched(pending, { operation: "exchange", of, bytes: 4 * input.numel });
  }

  broadcast(values: Tensor, from: number, of: string): Pending {
    return this.#group.broadcast(values, from, of);
  }

  #watched({ wait }: Pending, collective: Omit<Happened, "what">): Pending {
    this.happened.push({ what: "begun", ...collective });
    return {
      wait: () => {
        wait();
        this.happened.push({ what: "waited", ...collective });
      },
    };
  }

  /** Notes when parts are entered and left besides. */
  watch(residence: Residence): Residence {
    const note = (what: Happened["what"]) =>
      this.happened.push({ what, operation: "part", of: "", bytes: 0 });
    return {
      enter: (part, next) => {
        residence.enter(part, next);
        note("entered");
      },
      leave: (part, comesBack) => {
        note("left");
        residence.leave(part, comesBack);
      },
      complete: (part) => residence.complete(part),
      rowsOf: (weight) => residence.rowsOf(weight),
    };
  }
}

/** Each gathering but a pass's first was begun while another part was computed with, and no more than one part ahead. */
function requireOneAhead(happened: readonly Happened[]): void {
  const begun = new Map<string, number>();
  const isEmbedding = ({ of }: Happened) => of === "model.embed_tokens";
  for (const [i, one] of happened.entries()) {
    if (one.operation !== "allGather") continue;
    if (one.what === "begun") {
      begun.set(`${one.of} ${one.bytes}`, i);
      const ahead = new Set([...begun.keys()].map((key) => key.split(" ")[0]));
      assert.ok(ahead.size <= 1, `${[...ahead]} are gathered ahead`);
      continue;
    }
    const since = happened.slice(begun.get(`${one.of} ${one.bytes}`), i);
    begun.delete(`${one.of} ${one.bytes}`);
    if (isEmbedding(one)) continue;
    assert.ok(
      since.some(({ what }) => what === "left"),
      `${one.of} is waited for as soon as it is begun`,
    );
  }
}

/** The most exchanges that were under way at a time; all have arrived in the end. */
function exchangesUnderWay(happened: readonly Happened[]): number {
  let [now, most] = [0, 0];
  for (const { what, operation } of happened) {
    if (operation !== "exchange") continue;
    now += what === "begun" ? 1 : -1;
    most = Math.max(most, now);
  }
  assert.equal(now, 0);
  return most;
}

interface Case {
  family: TinyName;
  /** "full", or the modules that are trained in full beside LoRA. */
  tuned: "full" | readonly string[];
  keep_gathered?: boolean;
  recomputed?: boolean;
  /** As Qwen2 has them. */
  biases?: boolean;
}

// biome-ignore format: a table
const cases: Case[] = [
  { family: "llama_untied", tuned: "full" },
  { family: "llama_untied", tuned: "full", keep_gathered: true, recomputed: true },
  { family: "llama_tied", tuned: "full", recomputed: true },
  { family: "gemma3", tuned: "full", keep_gathered: true },
  { family: "qwen3", tuned: [] },
  { family: "llama_tied", tuned: [], keep_gathered: true },
  { family: "qwen3", tuned: ["lm_head"], recomputed: true },
  { family: "llama_tied", tuned: ["lm_head"] },
  { family: "qwen3", tuned: ["lm_head", "embed_tokens"], keep_gathered: true },
  { family: "llama_tied", tuned: ["q_proj", "up_proj"], biases: true },
];

for (const { family, tuned, keep_gathered = false, recomputed = false, biases = false } of cases) {
  const what = tuned === "full" ? "full tuning" : ["LoRA", ...tuned].join(" + ");
  test(`${family}, ${what}, kept ${keep_gathered}, recomputed ${recomputed}`, () => {
    withoutLeaks(() => {
      using _ = scope();
      using dir = temporaryDirectory();
      const base = makeTinyModel(join(dir.path, "base"), {
        family,
        config: biases ? { model_type: "qwen2", rope_scaling: null } : {},
      });
      const selection = selectionOf(base, tuned);
      const group = new WatchedGroup(alone);
      const complete = seeded(1, () => prepareModel(selection, environment));
      const inParts = seeded(1, () => prepareSharded(selection, environment, { group, keep_gathered }));
      const { model, sharded } = inParts;
      group.happened.length = 0;
      model.residence = group.watch(sharded);
      assertSameNorm(inParts, complete, { recomputed, tolerance: 1e-6 });

      const shape = {
        rank: 4,
        rankPattern: {},
        targets: "all-linear",
        targetModules: [],
        dropout: 0,
        useDora: false,
      };
      const trained =
        tuned === "full" ? everything : adapterParts(model.config, { ...shape, modulesToSave: [...tuned] });
      const numerics = { dtype: "float32", onGpu: false } as const;
      const units = plannedUnits({ model: model.config, trained, numerics }, 1);
      const planned = passCollectives(units, {
        model: model.config,
        trained,
        keep_gathered,
        hasLiveReference: false,
      });
      const begun = group.happened
        .filter(({ what }) => what === "begun")
        .map(({ operation, of, bytes }) => ({ operation, of, bytes }));
      assert.deepEqual(begun, [...planned, ...planned]);

      requireOneAhead(group.happened);

      assert.equal(exchangesUnderWay(group.happened), 2);
      // what a head's gradient is exchanged in is never larger than a block's matrices
      const ofHead = begun.filter(
        ({ operation, of }) => operation === "exchange" && of.startsWith("lm_head"),
      );
      if (trained.trainsHead && units.head[0] !== units.embedding) assert.ok(ofHead.length > 2);
      inParts.dispose();
      complete.dispose();
    });
  });
}
