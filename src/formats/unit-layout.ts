/**
 * How the tensors of a unit (the embedding, a block, the final norm, the head) lie in one buffer of bytes, of which each rank holds a
 * part. Tensors of any mix of types are gathered by one collective, and are views of the gathered buffer. First come the trained
 * tensors that weight decay applies to, then the other trained ones, then what is frozen: what a rank updates is one stretch of the
 * trained numbers.
 */
import { ShapeError } from "../base/errors.ts";
import { decays } from "./adapter-names.ts";
import type { WeightDtype } from "./model-config.ts";

/** A tensor of a unit. */
export interface UnitTensor {
  /** Its name in the model's checkpoints, or PEFT's. */
  name: string;
  shape: readonly number[];
  /** The type that it is gathered and computed with in. */
  dtype: WeightDtype;
  trained: boolean;
  /** Place in the tensor of that name of the unit's first number of it; left out: 0, the unit has all of it. */
  first?: number;
}

/** A tensor at its place in the buffer. */
export interface Segment extends UnitTensor {
  first: number;
  /** First byte, a multiple of 16. */
  begin: number;
  numel: number;
}

/** Some numbers of a tensor, from `from` to before `to`, counted in all of the tensor. */
export interface Piece {
  segment: Segment;
  from: number;
  to: number;
}

/** Trained numbers that decay, or that do not, gaps between tensors included. */
export interface TrainedRegion {
  kind: "decaying" | "exempt";
  dtype: WeightDtype;
  /** Bytes of the buffer. */
  begin: number;
  end: number;
  /** Place of its first number among the unit's trained numbers, and how many it has. */
  first: number;
  numel: number;
}

function itemSize(dtype: WeightDtype): number {
  return dtype === "float32" ? 4 : 2;
}

/** Every tensor and every part begins at a multiple of it. */
const alignment = 16;

/** The layout of a unit over `ranks`. */
export class UnitLayout {
  readonly ranks: number;
  /** In the order of the buffer. */
  readonly segments: readonly Segment[];
  /** Those that decay before the others; empty where nothing is trained. */
  readonly trained: readonly TrainedRegion[];
  /** Bytes of a rank's part. */
  readonly partBytes: number;

  /** @throws {ShapeError} if the trained tensors that decay, or those that do not, are of several types */
  constructor(tensors: readonly UnitTensor[], ranks: number) {
    this.ranks = ranks;
    let bytes = 0;
    const place = (tensor: UnitTensor): Segment => {
      const begin = bytes;
      const numel = tensor.shape.reduce((product, size) => product * size, 1);
      bytes += roundUp(numel * itemSize(tensor.dtype));
      return { first: 0, ...tensor, begin, numel };
    };
    const decaying = tensors.filter((tensor) => tensor.trained && decays(tensor)).map(place);
    const exempt = tensors.filter((tensor) => tensor.trained && !decays(tensor)).map(place);
    const frozen = tensors.filter(({ trained }) => !trained).map(place);
    this.segments = [...decaying, ...exempt, ...frozen];
    const first = regionOf("decaying", decaying, 0);
    const second = regionOf("exempt", exempt, first?.numel ?? 0);
    this.trained = [first, second].filter((region) => region !== null);
    this.partBytes = roundUp(Math.ceil(bytes / ranks));
  }

  /** Bytes of the gathered buffer. */
  get bytes(): number {
    return this.partBytes * this.ranks;
  }

  /** Numbers of the trained regions. */
  get trainedNumel(): number {
    return this.trained.reduce((sum, { numel }) => sum + numel, 0);
  }

  /** What of each tensor is in the part of `rank`, in the order of the buffer; tensors of which it has nothing are left out. */
  pieces(rank: number): Piece[] {
    return this.segments.flatMap((segment) => {
      const size = itemSize(segment.dtype);
      const [from, to] = this.#within(rank, segment.begin, segment.begin + segment.numel * size);
      // parts begin at multiples of 16 bytes: no number lies in two
      const { first } = segment;
      return to > from ? [{ segment, from: first + from / size, to: first + to / size }] : [];
    });
  }

  /** The numbers of a trained region that `rank` updates: places within the region. */
  share(rank: number, { begin, end, dtype }: TrainedRegion): { from: number; to: number } {
    const [from, to] = this.#within(rank, begin, end);
    return { from: from / itemSize(dtype), to: Math.max(from, to) / itemSize(dtype) };
  }

  /** Where a piece of a trained tensor is among the numbers of its region that `rank`, which holds it, updates. */
  placeInShare({ segment, from }: Piece, rank: number): { kind: TrainedRegion["kind"]; place: number } {
    const region = this.#regionOf(segment);
    const inRegion = (segment.begin - region.begin) / itemSize(region.dtype) + from - segment.first;
    return { kind: region.kind, place: inRegion - this.share(rank, region).from };
  }

  /** How many trained numbers each rank updates: one stretch after the other. */
  trainedCounts(): number[] {
    return Array.from({ length: this.ranks }, (_, rank) =>
      this.trained.reduce((sum, region) => {
        const { from, to } = this.share(rank, region);
        return sum + to - from;
      }, 0),
    );
  }

  /** Place of a trained tensor's first number among the unit's trained numbers. @throws {ShapeError} if it is not trained */
  placeOf(segment: Segment): number {
    const region = this.#regionOf(segment);
    return region.first + (segment.begin - region.begin) / itemSize(region.dtype);
  }

  #regionOf({ begin, name }: Segment): TrainedRegion {
    const region = this.trained.find((one) => begin >= one.begin && begin < one.end);
    if (region === undefined) throw new ShapeError(`expected a trained tensor, got ${name}`);
    return region;
  }

  /** The bytes from `begin` to `end` that are in the part of `rank`, counted from `begin`; empty: the first is not below the second. */
  #within(rank: number, begin: number, end: number): [from: number, to: number] {
    const part = rank * this.partBytes;
    return [Math.max(part, begin) - begin, Math.min(part + this.partBytes, end) - begin];
  }
}

function regionOf(
  kind: TrainedRegion["kind"],
  segments: readonly Segment[],
  before: number,
): TrainedRegion | null {
  const [head, ...others] = segments;
  if (head === undefined) return null;
  const other = others.find(({ dtype }) => dtype !== head.dtype);
  if (other !== undefined) {
    throw new ShapeError(
      `expected trained tensors (${kind}) of one type in a unit, got ${head.name} in ${head.dtype} and ${other.name} in ${other.dtype}`,
    );
  }
  const last = segments.at(-1) ?? head;
  const end = last.begin + roundUp(last.numel * itemSize(last.dtype));
  const numel = (end - head.begin) / itemSize(head.dtype);
  return { kind, dtype: head.dtype, begin: head.begin, end, first: before, numel };
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}
