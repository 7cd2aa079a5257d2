/**
 * A unit of a model of which each rank holds a part: gathered before it is computed with and freed afterwards. Its gradients are
 * exchanged, so that each rank has the sum of what all ranks found for the numbers that it updates.
 */
import { at } from "../base/at.ts";
import { ShapeError } from "../base/errors.ts";
import type { Pending } from "../distributed/rank-group.ts";
import {
  type Piece,
  type Segment,
  type TrainedRegion,
  UnitLayout,
  type UnitTensor,
} from "../formats/unit-layout.ts";
import type { NamedParameter } from "../nn/parameter-set.ts";
import { heldCopy, holdCopyIn, itemSize, noGrad, ops, scope, type Tensor } from "../torch/index.ts";

/** The ranks that share the units: this one's number, how many there are, and how they pass parts. */
export interface ShardGroup {
  readonly rank: number;
  readonly size: number;
  /** @param of - name of the unit */
  allGather(output: Tensor, input: Tensor, of: string): Pending;
  exchange(output: Tensor, input: Tensor, counts: readonly number[], of: string): Pending;
  broadcast(values: Tensor, from: number, of: string): Pending;
}

/** The numbers of a trained region that this rank updates. */
interface Master {
  region: TrainedRegion;
  /** float32, one dimension; where the region is float32, a view of the rank's part. */
  tensor: Tensor;
  /** Place of its first number in the region. */
  from: number;
}

/** A unit, on one rank. */
export class ShardedUnit {
  readonly name: string;
  readonly layout: UnitLayout;
  readonly #group: ShardGroup;
  readonly #masters: readonly Master[];
  /** (partBytes) uint8: what this rank holds. */
  readonly #part: Tensor;
  /** (bytes) uint8: memory only while the unit is gathered. */
  readonly #whole: Tensor;
  readonly #views: ReadonlyMap<string, Tensor>;
  readonly #grads: UnitGradients | null;
  #gathering: Pending | null = null;
  #isThere = false;

  constructor(name: string, tensors: readonly UnitTensor[], group: ShardGroup, device: string) {
    this.name = name;
    this.#group = group;
    this.layout = new UnitLayout(tensors, group.size);
    const bytes = (count: number) => ops.zeros([count], { dtype: "uint8", device });
    this.#part = bytes(this.layout.partBytes);
    this.#whole = ops.empty([this.layout.bytes], { dtype: "uint8", device });
    const views = this.layout.segments.map((segment) => [segment.name, this.#viewOf(segment)] as const);
    this.#views = new Map(views);
    ops.storageResize(this.#whole, 0);
    this.#masters = this.layout.trained.flatMap((region) => this.#masterOf(region, device));
    this.#grads =
      this.layout.trainedNumel > 0 ? new UnitGradients(this.layout, group, { name, device }) : null;
  }

  #viewOf({ begin, numel, dtype, shape, trained }: Segment): Tensor {
    using making = scope();
    const typed = ops.view(ops.narrow(this.#whole, 0, begin, numel * itemSize(dtype)), dtype);
    const view = making.keep(ops.detach(ops.view(typed, shape)));
    view.requiresGrad = trained;
    return view;
  }

  #masterOf(region: TrainedRegion, device: string): Master[] {
    using making = scope();
    const { from, to } = this.layout.share(this.#group.rank, region);
    if (to <= from) return [];
    const size = itemSize(region.dtype);
    const first = region.begin + from * size - this.#group.rank * this.layout.partBytes;
    const held = ops.view(ops.narrow(this.#part, 0, first, (to - from) * size), region.dtype);
    if (region.dtype === "float32") return [{ region, tensor: making.keep(ops.detach(held)), from }];
    const tensor = making.keep(ops.zeros([to - from], { dtype: "float32", device }));
    holdCopyIn(tensor, making.keep(ops.detach(held)));
    return [{ region, tensor, from }];
  }

  has(name: string): boolean {
    return this.#views.has(name);
  }

  /** The tensor `name`, to be computed with while the unit is gathered. */
  view(name: string): Tensor {
    const view = this.#views.get(name);
    if (view === undefined) throw new ShapeError(`expected a tensor of ${this.name}, got ${name}`);
    return view;
  }

  /** Whether its tensors are trained; those of a unit all are, or none is. */
  get isTrained(): boolean {
    return this.#grads !== null;
  }

  /** What this rank updates of the unit: what decays of it, and what does not. */
  get shards(): NamedParameter[] {
    return this.#masters.map(({ region: { kind }, tensor }) => ({
      name: `${this.name}.${kind}`,
      tensor,
      decays: kind === "decaying",
    }));
  }

  /** What of each tensor this rank holds. */
  get pieces(): Piece[] {
    return this.layout.pieces(this.#group.rank);
  }

  /** The numbers of a piece that this rank holds, (to − from): float32 where they are trained. A view: writing to it changes them. */
  held({ segment, ...piece }: Piece): Tensor {
    const [from, to] = [piece.from - segment.first, piece.to - segment.first];
    const master = this.#masters.find(
      ({ region: { begin, end } }) => segment.begin >= begin && segment.begin < end,
    );
    if (master !== undefined) {
      const place = this.layout.placeOf(segment) - master.region.first + from - master.from;
      return ops.narrow(master.tensor, 0, place, to - from);
    }
    const size = itemSize(segment.dtype);
    const first = segment.begin + from * size - this.#group.rank * this.layout.partBytes;
    using viewing = scope();
    return viewing.keep(ops.view(ops.narrow(this.#part, 0, first, (to - from) * size), segment.dtype));
  }

  /** Begins to gather the unit, unless it is there or on its way. */
  start(): void {
    if (this.#isThere || this.#gathering !== null) return;
    // half copies of what was updated since
    for (const { region, tensor } of this.#masters) heldCopy(tensor, region.dtype);
    ops.storageResize(this.#whole, this.layout.bytes);
    this.#gathering = this.#group.allGather(this.#whole, this.#part, this.name);
  }

  /** The unit is gathered when this returns. */
  gather(): void {
    this.start();
    this.#gathering?.wait();
    this.#gathering = null;
    this.#isThere = true;
  }

  /** Frees the gathered tensors. */
  free(): void {
    if (!this.#isThere) return;
    ops.storageResize(this.#whole, 0);
    this.#isThere = false;
  }

  /** Where the gradient of the trained tensor `name` in the pass at hand adds up, float32; zeros to begin with. */
  gradOf(name: string): Tensor {
    const segment = this.layout.segments.find((one) => one.name === name);
    if (segment === undefined || this.#grads === null) {
      throw new ShapeError(`expected a trained tensor of ${this.name}, got ${name}`);
    }
    return this.#grads.room(segment);
  }

  /** Begins to exchange the gradients of the pass at hand; the tensors have none afterwards. */
  beginExchange(): void {
    this.#grads?.begin((segment) => {
      const tensor = this.view(segment.name);
      const { grad } = tensor;
      tensor.grad = null;
      return grad;
    });
  }

  /** Adds what the other ranks found, once the exchange has arrived. */
  finishExchange(): void {
    this.#grads?.finish();
  }

  /** Gives the shards the gradients of the passes since `clearGrads`. */
  placeGrads(): void {
    if (this.#grads === null) return;
    for (const { region, tensor, from } of this.#masters) {
      tensor.grad = this.#grads.of(region.first + from, tensor.numel);
    }
  }

  clearGrads(): void {
    for (const { tensor } of this.#masters) tensor.grad = null;
    this.#grads?.clear();
  }

  dispose(): void {
    for (const view of this.#views.values()) view.dispose();
    for (const { tensor } of this.#masters) tensor.dispose();
    this.#grads?.dispose();
    this.#whole.dispose();
    this.#part.dispose();
  }
}

/** The gradients of a unit's trained numbers: of a pass on this rank, on their way, and summed. Memory only while they are used. */
class UnitGradients {
  readonly #name: string;
  readonly #layout: UnitLayout;
  readonly #group: ShardGroup;
  readonly #counts: readonly number[];
  /** Trained numbers before this rank's. */
  readonly #before: number;
  /** (all trained numbers), (ranks × this rank's), (this rank's); float32 */
  readonly #own: Tensor;
  readonly #arrived: Tensor;
  readonly #sum: Tensor;
  #pending: Pending | null = null;
  #isOpen = false;
  #hasSum = false;

  constructor(layout: UnitLayout, group: ShardGroup, { name, device }: { name: string; device: string }) {
    this.#name = name;
    this.#layout = layout;
    this.#group = group;
    this.#counts = layout.trainedCounts();
    const count = at(this.#counts, group.rank);
    this.#before = this.#counts.slice(0, group.rank).reduce((sum, n) => sum + n, 0);
    const freed = (numel: number): Tensor => {
      const empty = ops.empty([numel], { dtype: "float32", device });
      ops.storageResize(empty, 0);
      return empty;
    };
    [this.#own, this.#arrived, this.#sum] = [
      freed(layout.trainedNumel),
      freed(count * layout.ranks),
      freed(count),
    ];
  }

  /** Room for the gradient of a tensor, of its shape. */
  room(segment: Segment): Tensor {
    this.#open(true);
    using making = scope();
    const flat = ops.narrow(this.#own, 0, this.#layout.placeOf(segment), segment.numel);
    return making.keep(ops.view(flat, segment.shape));
  }

  /** Memory for a pass's gradients, zeros where they add up piece by piece. */
  #open(isZeroed: boolean): void {
    if (this.#isOpen) return;
    // of the micro-batch before
    this.finish();
    this.#isOpen = true;
    ops.storageResize(this.#own, 4 * this.#own.numel);
    if (isZeroed) noGrad(() => ops.zero_(this.#own));
  }

  /** @param gradOf - takes what autograd has for a tensor, null where it has nothing */
  begin(gradOf: (segment: Segment) => Tensor | null): void {
    using _ = scope();
    if (this.#isOpen) this.#addUp(gradOf);
    else this.#fill(gradOf);
    this.#isOpen = false;
    ops.storageResize(this.#arrived, 4 * this.#arrived.numel);
    this.#pending = this.#group.exchange(this.#arrived, this.#own, this.#counts, this.#name);
  }

  #addUp(gradOf: (segment: Segment) => Tensor | null): void {
    for (const segment of this.#trained) {
      const grad = gradOf(segment);
      if (grad !== null) noGrad(() => ops.add_(this.room(segment), grad));
    }
  }

  /** As on zeros, without writing them first. */
  #fill(gradOf: (segment: Segment) => Tensor | null): void {
    this.#open(false);
    const zero = (from: number, to: number) => ops.zero_(ops.narrow(this.#own, 0, from, to - from));
    noGrad(() => {
      let end = 0;
      for (const segment of this.#trained) {
        const [grad, place] = [gradOf(segment), this.#layout.placeOf(segment)];
        if (grad !== null) {
          // what lies between tensors counts in the norm
          zero(end, place);
          ops.copy_(this.room(segment), grad);
        } else zero(end, place + segment.numel);
        end = place + segment.numel;
      }
      zero(end, this.#own.numel);
    });
  }

  /** In order of their places. */
  get #trained(): Segment[] {
    return this.#layout.segments.filter(({ trained }) => trained);
  }

  finish(): void {
    if (this.#pending === null) return;
    this.#pending.wait();
    this.#pending = null;
    ops.storageResize(this.#own, 0);
    using _ = scope();
    noGrad(() => {
      const { numel } = this.#sum;
      // in order of the ranks, so that two runs of one size are equal to the bit
      const total = ops.narrow(this.#arrived, 0, 0, numel);
      for (let rank = 1; rank < this.#layout.ranks; rank++) {
        ops.add_(total, ops.narrow(this.#arrived, 0, rank * numel, numel));
      }
      if (this.#hasSum) ops.add_(this.#sum, total);
      else {
        ops.storageResize(this.#sum, 4 * numel);
        ops.copy_(this.#sum, total);
      }
      this.#hasSum = true;
    });
    ops.storageResize(this.#arrived, 0);
  }

  /** The sums of `count` numbers from place `first` of the unit's trained numbers. A view. */
  of(first: number, count: number): Tensor | null {
    return this.#hasSum ? ops.narrow(this.#sum, 0, first - this.#before, count) : null;
  }

  clear(): void {
    if (this.#hasSum) ops.storageResize(this.#sum, 0);
    this.#hasSum = false;
  }

  dispose(): void {
    for (const tensor of [this.#own, this.#arrived, this.#sum]) tensor.dispose();
  }
}
