/**
 * What ranks pass in a step, in its order: the walk of `src/forward/walk.ts` over units, and what is added up after it. A step's bytes
 * are sums over it, and what real ranks begin is compared with it.
 */
import { at } from "../base/at.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { firstTrainedLayer, type TrainedParts } from "./trained-parts.ts";
import { allUnits, type PlannedPart, type PlannedUnit, type PlannedUnits } from "./units.ts";

/** A collective as all ranks that share a model begin it. */
export interface PlannedCollective {
  operation: "allGather" | "exchange" | "allReduce";
  /** The unit; "gradients" for those that are added up. */
  of: string;
  /** Of all that is gathered, exchanged or added up. */
  bytes: number;
}

/** A micro-batch of a model in units. */
export interface PlannedPass {
  model: ModelConfig;
  trained: TrainedParts;
  keep_gathered: boolean;
  /** Whether log-probs of the model without its adapter are computed first. */
  hasLiveReference: boolean;
}

/** Which units are there, and what was begun. */
class Passing {
  readonly begun: PlannedCollective[] = [];
  readonly #there = new Set<PlannedUnit>();

  enter(...parts: readonly (PlannedPart | undefined)[]): void {
    for (const unit of parts.flatMap((part) => part ?? [])) {
      if (this.#there.has(unit)) continue;
      this.#there.add(unit);
      this.begun.push({ operation: "allGather", of: unit.name, bytes: unit.layout.bytes });
    }
  }

  leave(part: PlannedPart, stays: boolean): void {
    if (!stays) for (const unit of part) this.#there.delete(unit);
  }

  complete(part: PlannedPart): void {
    for (const { name, layout } of part) {
      if (layout.trainedNumel === 0) continue;
      this.begun.push({ operation: "exchange", of: name, bytes: 4 * layout.trainedNumel });
    }
  }
}

/** The collectives of a micro-batch among the ranks that share the model. */
export function passCollectives(units: PlannedUnits, pass: PlannedPass): PlannedCollective[] {
  const passing = new Passing();
  const { model, trained, keep_gathered } = pass;
  const first = firstTrainedLayer(model, trained);
  if (pass.hasLiveReference) goForth(passing, units, { head: units.frozenHead, comesBack: () => false });
  const { head, blocks, embedding, norm } = units;
  const last = blocks.length - 1;
  goForth(passing, units, {
    head,
    comesBack: (part, i) => {
      if (part === "head") return trained.trainsHead && (keep_gathered || i === head.length - 1);
      const isRecorded = part === "norm" ? trained.isFull || first <= last : i >= first;
      return isRecorded && (keep_gathered || part === "norm" || i === last);
    },
  });
  const goBack = (part: PlannedPart, next: PlannedPart | undefined): void => {
    passing.enter(part, next);
    passing.leave(part, false);
    if (part !== embedding) passing.complete(part);
  };
  if (trained.trainsHead) for (let i = head.length - 1; i >= 0; i--) goBack(head[i] ?? [], head[i - 1]);
  if (trained.isFull || first <= last) goBack(norm, blocks[last]);
  for (let i = last; i >= first; i--) goBack(blocks[i] ?? [], i > first ? blocks[i - 1] : undefined);
  if (trained.trainsEmbedding) passing.complete(embedding);
  return passing.begun;
}

/** How a pass through the model leaves its parts. */
interface Forth {
  head: readonly PlannedPart[];
  /** Whether a part stays gathered for the way back. @param i - of the block, or the head's range */
  comesBack: (part: "block" | "norm" | "head", i: number) => boolean;
}

function goForth(
  passing: Passing,
  { embedding, blocks, norm }: PlannedUnits,
  { head, comesBack }: Forth,
): void {
  passing.enter(embedding, blocks[0]);
  passing.leave(embedding, head[0] === embedding);
  for (const [i, block] of blocks.entries()) {
    passing.enter(block, blocks[i + 1] ?? norm);
    passing.leave(block, comesBack("block", i));
  }
  passing.enter(norm, head[0]);
  passing.leave(norm, comesBack("norm", 0));
  for (const [i, range] of head.entries()) {
    passing.enter(range, head[i + 1]);
    passing.leave(range, comesBack("head", i));
  }
}

/** What is added up at the end of a step over the copies of a model: the gradients that rank 0 of those that share one updates by. */
export function addedGradients(units: PlannedUnits): PlannedCollective {
  const numbers = allUnits(units).reduce((sum, { layout }) => sum + at(layout.trainedCounts(), 0), 0);
  return { operation: "allReduce", of: "gradients", bytes: 4 * numbers };
}
