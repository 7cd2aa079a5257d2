/**
 * A model of which each rank holds a part of every unit. It is built of shapes alone; its tensors become views of its units'
 * gathered memory, and the walk enters and leaves the units (see `Residence`).
 */
import { at } from "../base/at.ts";
import { ShapeError } from "../base/errors.ts";
import type { Decoder, Residence } from "../models/causal-lm.ts";
import { type TensorPlace, tensorPlaces } from "../nn/module.ts";
import { type NamedParameter, ParameterSet } from "../nn/parameter-set.ts";
import type { DType, Tensor } from "../torch/index.ts";
import { ShardedUnit, type ShardGroup } from "./sharded-unit.ts";
import type { Segment, UnitTensor } from "./unit-layout.ts";

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
export function placesOf(model: Decoder): ModelPlaces {
  return [...tensorPlaces(model)];
}

/** A model in parts. */
export class ShardedModel implements Residence {
  /** The units of each part, in the order of the model: what is trained and what is frozen, which ranks share separately. */
  readonly parts: readonly (readonly ShardedUnit[])[];
  readonly parameters: ShardedParameters;
  /** Where each of the model's tensors lies, by its handle. */
  readonly homes: ReadonlyMap<number, TensorHome>;
  /** The ranks among which the model is. */
  readonly group: ShardGroup;
  readonly #unitsOf: Map<object, readonly ShardedUnit[]>;
  /** Units of other parts whose tensors a part computes with: a tied head beside which another is trained has the embedding's. */
  readonly #lentTo: Map<object, readonly ShardedUnit[]> = new Map();
  readonly #model: Decoder;
  readonly #isTied: boolean;
  readonly #keepsGathered: boolean;
  #isHeld = false;
  readonly #exchanging: ShardedUnit[] = [];

  /**
   * Puts views in the place of all tensors of `model`, which is on device "meta". Its numbers are zeros until they are written
   * (`ShardedUnit.held`).
   *
   * @param base - the places of the model's tensors before it had an adapter
   * @param trained - the tensors that are trained, under their names in checkpoints
   */
  constructor(model: Decoder, base: ModelPlaces, trained: readonly NamedParameter[], options: ShardOptions) {
    this.#model = model;
    this.group = options.group;
    this.#keepsGathered = options.keep_gathered;
    const names = new Map(trained.map(({ name, tensor }) => [tensor.handle, name]));
    const places = [...base, ...tensorPlaces(model)];
    const parts = partsOf(model, places);
    this.#isTied = parts.length < model.model.layers.length + 3;
    this.#unitsOf = new Map();
    const shapes = new Map(places.map(({ tensor }) => [tensor.handle, tensor]));
    const views = new Map<number, Tensor>();
    this.parts = parts.map(({ name, modules, handles }) => {
      const tensors = [...handles].map(([handle, path]) => {
        const trainedName = names.get(handle);
        const tensor = known(shapes, handle);
        return {
          handle,
          ...unitTensor(tensor, trainedName ?? path, trainedName !== undefined, options.dtype),
        };
      });
      const kinds = [tensors.filter((one) => one.trained), tensors.filter((one) => !one.trained)];
      const units = kinds
        .filter((some) => some.length > 0)
        .map((some) => new ShardedUnit(name, some, options.group, options.device));
      for (const module of modules) this.#unitsOf.set(module, units);
      for (const { handle, name: tensor } of tensors) {
        const unit = units.find(({ layout }) => layout.segments.some((segment) => segment.name === tensor));
        if (unit !== undefined) views.set(handle, unit.view(tensor));
      }
      return units;
    });
    if (!this.#isTied && model.config.tieWordEmbeddings) this.#lentTo.set(model.head, at(this.parts, 0));
    for (const { owner, key, tensor } of places) owner[key] = known(views, tensor.handle);
    const named = trained.map(({ name, tensor }) => ({ name, tensor: known(views, tensor.handle) }));
    for (const tensor of shapes.values()) tensor.dispose();
    this.homes = new Map(
      this.units.flatMap((unit) =>
        unit.layout.segments.map((segment) => [unit.view(segment.name).handle, { unit, segment }] as const),
      ),
    );
    this.parameters = new ShardedParameters(named, this.units, this.homes);
    model.residence = this;
  }

  get units(): readonly ShardedUnit[] {
    return this.parts.flat();
  }

  enter(part: object, next?: object): void {
    for (const unit of this.#needed(part)) unit.gather();
    if (next !== undefined) for (const unit of this.#needed(next)) unit.start();
  }

  leave(part: object, comesBack: boolean): void {
    const { embed_tokens, layers } = this.#model.model;
    // a tied table is needed again by the head, which comes last, and the last block by the backward pass, which begins with it
    const isNeeded = (this.#isTied && part === embed_tokens) || (comesBack && part === layers.at(-1));
    if (isNeeded || this.#isHeld || (comesBack && this.#keepsGathered)) return;
    for (const unit of this.#needed(part)) unit.free();
  }

  complete(part: object): void {
    // the gradients of a tied head are complete with the embedding's
    if (this.#isTied && part === this.#model.head) return;
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

  /** Keeps all units gathered until disposed: for work that goes through the model again and again. */
  hold(): Disposable {
    for (const unit of this.units) unit.gather();
    this.#isHeld = true;
    return {
      [Symbol.dispose]: () => {
        this.#isHeld = false;
        for (const unit of this.units) unit.free();
      },
    };
  }

  dispose(): void {
    this.#model.residence = null;
    for (const unit of this.units) unit.dispose();
  }

  /** The part that the tensor `name` is of. */
  partOf(name: string): object {
    for (const [part, units] of this.#unitsOf) if (units.some((unit) => unit.has(name))) return part;
    throw new ShapeError(`expected a tensor of the model, got ${name}`);
  }

  #needed(part: object): readonly ShardedUnit[] {
    return [...this.#of(part), ...(this.#lentTo.get(part) ?? [])];
  }

  #of(part: object): readonly ShardedUnit[] {
    return known(this.#unitsOf, part);
  }
}

/** The trained tensors of a sharded model: views while their units are gathered; this rank updates its shards. */
export class ShardedParameters extends ParameterSet {
  readonly #units: readonly ShardedUnit[];
  readonly #homes: ReadonlyMap<number, TensorHome>;

  constructor(
    tensors: readonly NamedParameter[],
    units: readonly ShardedUnit[],
    homes: ReadonlyMap<number, TensorHome>,
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
    const { unit, segment } = known(this.#homes, tensor.handle);
    return unit.gradOf(segment.name);
  }

  override clearGrads(): void {
    for (const unit of this.#units) unit.clearGrads();
  }
}

/** A unit to be. */
interface Part {
  name: string;
  /** The modules whose tensors it holds. */
  modules: object[];
  /** Its tensors' handles, with their paths. */
  handles: Map<number, string>;
}

function partsOf(model: Decoder, places: readonly TensorPlace[]): Part[] {
  const { embed_tokens, layers, norm } = model.model;
  const headPath = "lm_head" in model ? "lm_head" : "score";
  const wanted: [string, object][] = [
    ["model.embed_tokens", embed_tokens],
    ...layers.map((block, i): [string, object] => [`model.layers.${i}`, block]),
    ["model.norm", norm],
    [headPath, model.head],
  ];
  const seen = new Set<number>();
  const parts = wanted.map(([name, module]): Part => {
    const own = places.filter(({ path, tensor }) => path.startsWith(`${name}.`) && !seen.has(tensor.handle));
    for (const { tensor } of own) seen.add(tensor.handle);
    const handles = new Map<number, string>();
    for (const { tensor, path } of own) if (!handles.has(tensor.handle)) handles.set(tensor.handle, path);
    return { name, modules: [module], handles };
  });
  const head = parts.at(-1);
  if (head === undefined || head.handles.size > 0) return parts;
  // tied: the head has no tensor that is not the embedding's
  at(parts, 0).modules.push(model.head);
  return parts.slice(0, -1);
}

/** Trained matrices of the model itself are gathered in the activations' type; adapters and vectors in float32. */
function unitTensor(tensor: Tensor, name: string, trained: boolean, dtype: DType): UnitTensor {
  const isAdapter = name.startsWith("base_model.");
  const gathered = !trained ? tensor.dtype : isAdapter || tensor.shape.length <= 1 ? "float32" : dtype;
  return { name, shape: tensor.shape, dtype: gathered, trained };
}

function known<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key);
  if (value === undefined) throw new Error("a tensor of the model belongs to no unit");
  return value;
}
