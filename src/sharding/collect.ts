/** Writing a model of which each rank holds a part: its tensors come together a stretch or a unit at a time, never all of it. */
import { agreed, type Together } from "../base/ranks.ts";
import type { Segment } from "../formats/unit-layout.ts";
import type { Collect, SavedTensor } from "../models/save.ts";
import { ops, scope, type Tensor } from "../torch/index.ts";
import type { ShardedModel } from "./sharded-model.ts";
import type { ShardedUnit } from "./sharded-unit.ts";

/** Numbers that come together at once: 64 MiB of float32. */
const numbersAtOnce = 2 ** 24;

/**
 * Gives the numbers of a sharded model's tensors, the trained ones in float32. All ranks ask for the same tensors in the same order,
 * whoever writes them; a rank that cannot write ends the others too.
 */
export class Collector implements Disposable {
  readonly #sharded: ShardedModel;
  readonly #ranks: Together;
  /** What is gathered, for tensors that are computed of several. */
  #gathered: readonly ShardedUnit[] = [];

  /** @param ranks - all of the run: several groups may have the model, and all do the same */
  constructor(sharded: ShardedModel, ranks: Together) {
    this.#sharded = sharded;
    this.#ranks = ranks;
  }

  /** For the writer. @throws {RankFailure} when another rank has failed */
  readonly collect: Collect = (tensor) => this.#stretches(tensor);

  /** Takes part in the writing of `tensors` by another rank. @throws {RankFailure} when that has failed */
  takePart(tensors: readonly SavedTensor[]): void {
    for (const tensor of tensors) {
      const stretches = this.#stretches(tensor)[Symbol.iterator]();
      while (stretches.next().done !== true);
    }
  }

  *#stretches(tensor: SavedTensor): Generator<() => Tensor> {
    if (tensor.tensor === null) {
      this.#gather(this.#unitsOf(tensor.name));
      yield tensor.read;
      return;
    }
    const homes = this.#sharded.homes.get(tensor.tensor.handle);
    if (homes === undefined) throw new Error(`${tensor.name} belongs to no unit of the model`);
    for (const { unit, segment } of homes) {
      const end = segment.first + segment.numel;
      for (let from = segment.first; from < end; from += numbersAtOnce) {
        using _ = scope();
        const stretch = this.#assembled(unit, segment, { from, to: Math.min(end, from + numbersAtOnce) });
        yield () => stretch;
      }
    }
  }

  /** Numbers of a tensor, of which ranks hold one after another. */
  #assembled(unit: ShardedUnit, segment: Segment, { from, to }: { from: number; to: number }): Tensor {
    this.#agree();
    const { group } = this.#sharded;
    const dtype = segment.trained ? "float32" : segment.dtype;
    const whole = ops.empty([to - from], { dtype, device: unit.view(segment.name).device });
    for (let rank = 0; rank < group.size; rank++) {
      for (const piece of unit.layout.pieces(rank).filter(({ segment: { name } }) => name === segment.name)) {
        const [first, end] = [Math.max(from, piece.from), Math.min(to, piece.to)];
        if (end <= first) continue;
        using _ = scope();
        const part = ops.narrow(whole, 0, first - from, end - first);
        if (rank === group.rank) {
          ops.copy_(part, ops.narrow(ops.detach(unit.held(piece)), 0, first - piece.from, end - first));
        }
        group.broadcast(part, rank, unit.name).wait();
      }
    }
    return whole;
  }

  #gather(units: readonly ShardedUnit[]): void {
    if (units.every((unit) => this.#gathered.includes(unit))) return;
    this.#agree();
    this.#free();
    this.#gathered = units;
    for (const unit of units) unit.gather();
  }

  /** Whether all ranks are well, before each stretch: the others would wait for one that is not. */
  #agree(): void {
    agreed(this.#ranks, () => null);
  }

  /** What the tensor `name`, which an adapter changes, is computed of: a block's units. */
  #unitsOf(name: string): ShardedUnit[] {
    return this.#sharded.units.filter((unit) => name.startsWith(`${unit.name}.`));
  }

  #free(): void {
    for (const unit of this.#gathered) unit.free();
    this.#gathered = [];
  }

  [Symbol.dispose](): void {
    this.#free();
  }
}
