/**
 * Forward passes that the ranks of a model in parts make together, each over its own tokens: where a copy of the model does not fit
 * on each. Before a pass the ranks agree that one of them has something to compute; one that has nothing left passes its parts of the
 * blocks on until all are done.
 */
import type { HeadRows, Residence } from "../models/causal-lm.ts";
import { ops, scope, type Tensor, tensor } from "../torch/index.ts";
import type { ShardedModel } from "./sharded-model.ts";

/** Passes in lockstep, from when it is made until it is disposed of. Embedding, final norm and head stay gathered meanwhile. */
export class Lockstep implements Residence, Disposable {
  readonly inLockstep = true;
  readonly #sharded: ShardedModel;
  readonly #embedding: object;
  readonly #blocks: readonly object[];
  readonly #held: Disposable;
  /** Whether this rank is between its first pass and the end of the passes of all. */
  #isAtWork = true;

  constructor(sharded: ShardedModel) {
    this.#sharded = sharded;
    const { embed_tokens, layers } = sharded.model.model;
    this.#embedding = embed_tokens;
    this.#blocks = layers;
    this.#held = sharded.hold("ends");
    sharded.model.residence = this;
  }

  enter(part: object, next?: object): void {
    if (part === this.#embedding) this.#agree(true);
    this.#sharded.enter(part, next);
  }

  leave(part: object, comesBack: boolean): void {
    this.#sharded.leave(part, comesBack);
  }

  complete(part: object): void {
    this.#sharded.complete(part);
  }

  rowsOf(weight: Tensor): readonly HeadRows[] {
    return this.#sharded.rowsOf(weight);
  }

  /** Takes part in the passes of the other ranks until none has any left: for a rank that has computed what it wanted to. */
  finish(): void {
    while (this.#agree(false)) {
      for (const [i, block] of this.#blocks.entries()) {
        this.#sharded.enter(block, this.#blocks[i + 1]);
        this.#sharded.leave(block, false);
      }
    }
    this.#isAtWork = false;
  }

  /** Whether a rank begins a pass. */
  #agree(begins: boolean): boolean {
    if (begins && !this.#isAtWork) throw new Error("a pass after the passes of all ranks have ended");
    using _ = scope();
    const { group } = this.#sharded;
    const all = ops.zeros([group.size], { dtype: "uint8" });
    group.allGather(all, tensor(new Uint8Array([begins ? 1 : 0])), "passes").wait();
    return all.toNumbers().some((one) => one === 1);
  }

  [Symbol.dispose](): void {
    this.#sharded.model.residence = this.#sharded;
    this.#held[Symbol.dispose]();
  }
}
