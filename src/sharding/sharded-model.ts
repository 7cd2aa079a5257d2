/**
 * A model of which each rank holds a part of every unit. It is built of shapes alone; its tensors become views of its units'
 * gathered memory, and the walk enters and leaves the units (see `Residence`).
 */
import { at } from "../base/at.ts";
import { ShapeError } from "../base/errors.ts";
import type { Segment, UnitTensor } from "../formats/unit-layout.ts";
import type { CausalLM, HeadRows, Residence } from "../models/causal-lm.ts";
import { type TensorPlace, tensorPlaces } from "../nn/module.ts";
import { type NamedParameter, ParameterSet } from "../nn/parameter-set.ts";
import type { DType, Tensor } from "../torch/index.ts";
import { RangedMatrix } from "./ranged-matrix.ts";
import { ShardedUnit, type ShardGroup } from "./sharded-unit.ts";

/** How a model is sharded. */
export interface ShardOptions {
  group: ShardGroup;
  device: string;
  /** What activations are computed in. */
  dtype: DType;
  /** Whether blocks stay gathered from the forward pass to the backward pass. */
  keep_gathered: boolean;
}

/** Where a tensor of the model lies. */
export interface TensorHome {
  unit: ShardedUnit;
  segment: Segment;
}

/** Exchanges of gradients under way at most. */
const exchangesInFlight = 2;

/** Where the tensors of the model hang, before an adapter hides some of them. */
export type ModelPlaces = readonly TensorPlace[];

/** The places of all tensors of `model`. */
export function placesOf(model: CausalLM): ModelPlaces {
  return [...tensorPlaces(model)];
}

/** A model in parts. */
export class ShardedModel implements Residence {
  /** In the order of the model: of each part what is trained and what is frozen, which ranks share separately. */
  readonly units: readonly ShardedUnit[];
  readonly parameters: ShardedParameters;
  /** Where each of the model's tensors lies, by its handle; a head's matrix in several units, one after another. */
  readonly homes: ReadonlyMap<number, readonly TensorHome[]>;
  /** The ranks among which the model is. */
  readonly group: ShardGroup;
  readonly #unitsOf: Map<object, readonly ShardedUnit[]>;
  /** The matrices of the head, by their handles. */
  readonly #matrices: ReadonlyMap<number, RangedMatrix>;
  /** The embedding's table as a head's matrix. */
  readonly #table: HeadRows;
  readonly model: CausalLM;
  readonly #keepsGathered: boolean;
  /** The units that stay gathered, those of embedding and norm among them, while the head is held; null: nothing is. */
  #held: ReadonlySet<ShardedUnit> | null = null;
  readonly #exchanging: ShardedUnit[] = [];

  /**
   * Puts views in the place of all tensors of `model`, which is on device "meta". Its numbers are zeros until they are written
   * (`ShardedUnit.held`).
   *
   * @param base - the places of the model's tensors before it had an adapter
   * @param trained - the tensors that are trained, under their names in checkpoints
   */
  constructor(model: CausalLM, base: ModelPlaces, trained: readonly NamedParameter[], options: ShardOptions) {
    this.model = model;
    this.group = options.group;
    this.#keepsGathered = options.keep_gathered;
    const places = [...base, ...tensorPlaces(model)];
    const parts = partsOf(model, { places, trained, dtype: options.dtype });
    const made = parts.map((part) => unitsOf(part, model, options));
    this.units = made.flatMap(({ units }) => units);
    const matrices = made.flatMap((one) => one.matrices);
    this.#matrices = new Map(matrices.map((matrix) => [matrix.whole.handle, matrix]));
    const views = new Map(made.flatMap((one) => [...one.views]));
    for (const { owner, key, tensor } of places) owner[key] = known(views, tensor.handle);
    const { embed_tokens } = model.model;
    this.#table = { start: 0, end: model.config.vocabSize, rows: embed_tokens.weight };
    this.#unitsOf = new Map<object, readonly ShardedUnit[]>([
      ...parts.map(({ module }, i) => [module, at(made, i).units] as const),
      ...matrices.flatMap(({ ranges }) => ranges.map((range) => [range, [range.unit]] as const)),
      ...matrices.map(({ all }) => [all, []] as const),
      [this.#table, at(made, 0).units],
    ]);
    const named = trained.map(({ name, tensor }) => ({ name, tensor: known(views, tensor.handle) }));
    for (const tensor of new Set(places.map(({ tensor }) => tensor))) tensor.dispose();
    this.homes = homesOf(this.units, matrices);
    this.parameters = new ShardedParameters(named, this.units, this.homes);
    model.residence = this;
  }

  rowsOf(weight: Tensor): readonly HeadRows[] {
    const matrix = this.#matrices.get(weight.handle);
    if (matrix === undefined) return [this.#table];
    return this.#held === null ? matrix.ranges : [matrix.all];
  }

  enter(part: object, next?: object): void {
    for (const unit of this.#of(part)) unit.gather();
    if (next !== undefined) for (const unit of this.#of(next)) unit.start();
  }

  leave(part: object, comesBack: boolean): void {
    // a tied table is needed again by the head
    const isNeeded = this.#isTied && part === this.model.model.embed_tokens;
    if (isNeeded || (comesBack && (this.#keepsGathered || this.#turnsBackAt(part)))) return;
    for (const unit of this.#of(part)) if (this.#held?.has(unit) !== true) unit.free();
  }

  complete(part: object): void {
    // the gradients of a tied head are complete with the embedding's
    if (part === this.#table) return;
    for (const unit of this.#of(part)) {
      if (!unit.isTrained) continue;
      // first the oldest: gradients under way are twice a unit's in float32
      while (this.#exchanging.length >= exchangesInFlight) this.#exchanging.shift()?.finishExchange();
      unit.beginExchange();
      this.#exchanging.push(unit);
    }
  }

  /** Waits for the gradients that are on their way; the shards have those of all passes since the last step. */
  finishGradients(): void {
    for (let unit = this.#exchanging.shift(); unit !== undefined; unit = this.#exchanging.shift()) {
      unit.finishExchange();
    }
    for (const unit of this.units) unit.placeGrads();
  }

  /**
   * Keeps units gathered until disposed: for work that goes through the model again and again.
   *
   * @param which - all, or all but blocks
   */
  hold(which: "all" | "ends" = "all"): Disposable {
    const { layers } = this.model.model;
    const matrices = [...this.#matrices.values()];
    const passing = new Set(matrices.flatMap(({ ranges }) => ranges.map(({ unit }) => unit)));
    if (which === "ends") for (const unit of layers.flatMap((block) => this.#of(block))) passing.add(unit);
    const units = this.units.filter((unit) => !passing.has(unit));
    for (const unit of units) unit.gather();
    for (const matrix of matrices) matrix.hold();
    this.#held = new Set(units);
    return {
      [Symbol.dispose]: () => {
        this.#held = null;
        for (const unit of this.units) unit.free();
        for (const matrix of matrices) matrix.release();
      },
    };
  }

  dispose(): void {
    this.model.residence = null;
    for (const unit of this.units) unit.dispose();
    for (const { whole } of this.#matrices.values()) whole.dispose();
  }

  /** The part that the tensor `name` is of. */
  partOf(name: string): object {
    for (const [part, units] of this.#unitsOf) if (units.some((unit) => unit.has(name))) return part;
    throw new ShapeError(`expected a tensor of the model, got ${name}`);
  }

  /** Whether the head is the embedding's table. */
  get #isTied(): boolean {
    return this.#matrices.size === 0;
  }

  /** Whether the backward pass needs `part` before it needs another of its kind. */
  #turnsBackAt(part: object): boolean {
    const { layers, norm } = this.model.model;
    if (part === layers.at(-1) || part === norm || part === this.#table) return true;
    return [...this.#matrices.values()].some(({ ranges }) => part === ranges.at(-1));
  }

  /** The units that a part is computed with; of a head those of its first rows, since it comes by ranges. */
  #of(part: object): readonly ShardedUnit[] {
    const { lm_head } = this.model;
    if (part === lm_head) return this.#of(at(this.rowsOf(lm_head.weight), 0));
    return known(this.#unitsOf, part);
  }
}

/** The trained tensors of a sharded model: views while their units are gathered; this rank updates its shards. */
export class ShardedParameters extends ParameterSet {
  readonly #units: readonly ShardedUnit[];
  readonly #homes: ShardedModel["homes"];

  constructor(
    tensors: readonly NamedParameter[],
    units: readonly ShardedUnit[],
    homes: ShardedModel["homes"],
  ) {
    super(
      tensors,
      [],
      units.flatMap((unit) => unit.shards),
    );
    this.#units = units;
    this.#homes = homes;
  }

  override gradOf(tensor: Tensor): Tensor {
    const [home, ...others] = known(this.#homes, tensor.handle);
    if (home === undefined || others.length > 0)
      throw new ShapeError(
        "expected rows of a head, whose gradient is never there as a whole, got all of it",
      );
    return home.unit.gradOf(home.segment.name);
  }

  override clearGrads(): void {
    for (const unit of this.#units) unit.clearGrads();
  }
}

/** A part of the model whose units are to be made. */
interface Part {
  name: string;
  module: object;
  /** Its tensors by their handles. */
  tensors: Map<number, UnitTensor>;
}

/** The parts of a model, in its order; a head that has no tensor but the embedding's is none. */
function partsOf(
  model: CausalLM,
  given: { places: readonly TensorPlace[]; trained: readonly NamedParameter[]; dtype: DType },
): Part[] {
  const names = new Map(given.trained.map(({ name, tensor }) => [tensor.handle, name]));
  const { embed_tokens, layers, norm } = model.model;
  const wanted: [string, object][] = [
    ["model.embed_tokens", embed_tokens],
    ...layers.map((block, i): [string, object] => [`model.layers.${i}`, block]),
    ["model.norm", norm],
    ["lm_head", model.lm_head],
  ];
  const seen = new Set<number>();
  const parts = wanted.map(([name, module]): Part => {
    const tensors = new Map<number, UnitTensor>();
    for (const { path, tensor } of given.places) {
      if (!path.startsWith(`${name}.`) || seen.has(tensor.handle)) continue;
      seen.add(tensor.handle);
      const trainedName = names.get(tensor.handle);
      const isTrained = trainedName !== undefined;
      tensors.set(tensor.handle, unitTensor(tensor, trainedName ?? path, isTrained, given.dtype));
    }
    return { name, module, tensors };
  });
  return parts.filter(({ tensors }) => tensors.size > 0);
}

/** The units of a part, and what is in the place of its tensors, by their handles. */
interface PartUnits {
  units: readonly ShardedUnit[];
  matrices: readonly RangedMatrix[];
  views: Map<number, Tensor>;
}

function unitsOf(part: Part, model: CausalLM, { group, device }: ShardOptions): PartUnits {
  const { name, module, tensors } = part;
  const views = new Map<number, Tensor>();
  if (module === model.lm_head) {
    const matrices = [...tensors].map(([handle, tensor]) => {
      const matrix = new RangedMatrix(model.config, { name, tensor }, { group, device });
      views.set(handle, matrix.whole);
      return matrix;
    });
    return { units: matrices.flatMap(({ ranges }) => ranges.map(({ unit }) => unit)), matrices, views };
  }
  const all = [...tensors.values()];
  const kinds = [all.filter(({ trained }) => trained), all.filter(({ trained }) => !trained)];
  const units = kinds
    .filter((some) => some.length > 0)
    .map((some) => new ShardedUnit(name, some, group, device));
  for (const [handle, tensor] of tensors) {
    const unit = units.find((one) => one.has(tensor.name));
    if (unit !== undefined) views.set(handle, unit.view(tensor.name));
  }
  return { units, matrices: [], views };
}

/** Where the tensors of the model lie, by their handles, and where ranges of a head's rows do. */
function homesOf(units: readonly ShardedUnit[], matrices: readonly RangedMatrix[]): ShardedModel["homes"] {
  const homesIn = (unit: ShardedUnit): TensorHome[] =>
    unit.layout.segments.map((segment) => ({ unit, segment }));
  const homes = new Map<number, TensorHome[]>();
  for (const home of units.flatMap(homesIn)) homes.set(home.unit.view(home.segment.name).handle, [home]);
  for (const { whole, ranges } of matrices) {
    homes.set(
      whole.handle,
      ranges.flatMap(({ unit }) => homesIn(unit)),
    );
  }
  return homes;
}

/** Trained matrices of the model itself are gathered in the activations' type; adapters and vectors in float32. */
function unitTensor(tensor: Tensor, name: string, trained: boolean, dtype: DType): UnitTensor {
  const isAdapter = name.startsWith("base_model.");
  const gathered = !trained ? tensor.dtype : isAdapter || tensor.shape.length <= 1 ? "float32" : dtype;
  if (gathered === "float32" || gathered === "float16" || gathered === "bfloat16")
    return { name, shape: tensor.shape, dtype: gathered, trained };
  throw new ShapeError(`expected weights in float32, float16 or bfloat16, got ${name} in ${gathered}`);
}

function known<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key);
  if (value === undefined) throw new Error("a tensor of the model belongs to no unit");
  return value;
}
