/** Reads and writes the rotary-embedding fields of `config.json`, in the layouts of transformers 4 and 5. */
import { didYouMean } from "../base/suggest.ts";
import type { JsonFields } from "./json-fields.ts";
import type { ModelConfig, RopeConfig, RopeScaling } from "./model-config.ts";

/** The kinds of position scaling that can be computed, by `rope_type`. */
export type RopeKind = "default" | "linear" | "llama3" | "yarn" | "longrope" | "proportional";

/** What a family allows of a rotary table. */
export interface RopeRules {
  /** Base when the file names none. */
  theta: number;
  kinds: readonly RopeKind[];
  /** Whether a fraction of a head may turn, the rest staying as it is. */
  turnsShare?: boolean;
  /** LongRoPE's original length where no file names it; default: `max_position_embeddings`. */
  originalPositions?: number;
  /** Other names of kinds in older files. */
  aliases?: Readonly<Record<string, RopeKind>>;
}

/**
 * The rotary table of a model whose layers all share one.
 *
 * @throws {FormatError} for a scaling that the family does not have
 */
export function parseRope(fields: JsonFields, rules: RopeRules): RopeConfig {
  // transformers 5 also lets an old `rope_scaling` that says something win over `rope_parameters`
  const old = fields.objectOrEmpty("rope_scaling");
  const table = fields.objectOrEmpty("rope_parameters");
  const rope = Object.keys(old.values).length > 0 ? old : table;
  return parseTable(rope, fields, { ...rules, theta: fields.positiveNumber("rope_theta", rules.theta) });
}

/** Rotary tables of full and of sliding layers, in one file. */
export interface RopesRules {
  full: RopeRules;
  sliding: RopeRules;
  /** The key with the base of sliding layers in transformers 4. */
  slidingThetaKey: string;
}

/**
 * The rotary tables of full and sliding layers.
 *
 * In transformers 4 `rope_scaling` belongs to the full layers alone; transformers 5 has an entry per layer type.
 * @throws {FormatError} as {@link parseRope}, and for `rope_parameters` without an entry per layer type
 */
export function parseRopes(
  fields: JsonFields,
  { full, sliding, slidingThetaKey }: RopesRules,
): { full: RopeConfig; sliding: RopeConfig } {
  const parameters = fields.object("rope_parameters");
  const kinds = Object.keys(parameters?.values ?? {});
  if (kinds.some((kind) => kind !== "full_attention" && kind !== "sliding_attention")) {
    fields.refuse("rope_parameters", 'an entry for each of "full_attention" and "sliding_attention"');
  }
  const old = fields.object("rope_scaling");
  if (old?.has("type") === true && !old.has("rope_type")) {
    old.refuse(
      "type",
      "rope_type",
      "transformers passes over the old name where layers have tables for each kind, and then scales nothing. Write rope_type.",
    );
  }
  const entry = (name: string, rules: RopeRules, thetaKey: string, more: JsonFields | null): RopeConfig => {
    const values = { ...parameters?.object(name)?.values, ...more?.values };
    const rope = fields.derived(values, `rope_parameters.${name}`);
    return parseTable(rope, fields, { ...rules, theta: fields.positiveNumber(thetaKey, rules.theta) });
  };
  return {
    full: entry("full_attention", full, "rope_theta", old),
    sliding: entry("sliding_attention", sliding, slidingThetaKey, null),
  };
}

const shareKey = "partial_rotary_factor";

/** A fraction above 0. */
function shareIn(place: JsonFields): number {
  const share = place.positiveNumber(shareKey, 1);
  return share <= 1 ? share : place.refuse(shareKey, "a number above 0, at most 1");
}

/** The fraction of a head that turns: at the top of a file, in the table, or in both. */
function parseShare(rope: JsonFields, model: JsonFields, turnsShare: boolean): number {
  for (const place of [model, rope]) {
    if (shareIn(place) === 1 || turnsShare) continue;
    place.refuse(shareKey, "1 (rotation of whole heads)", "This model is not supported.");
  }
  return shareIn(rope.has(shareKey) ? rope : model);
}

function parseTable(rope: JsonFields, model: JsonFields, rules: RopeRules): RopeConfig {
  const scaling = parseScaling(rope, model, rules);
  const read = {
    theta: rope.positiveNumber("rope_theta", rules.theta),
    share: scaling.kind === "proportional" ? 1 : parseShare(rope, model, rules.turnsShare ?? false),
    scaling,
  };
  rope.refuseUnknown(["original_max_position_embeddings"], "this kind of position scaling");
  return read;
}

function parseScaling(rope: JsonFields, model: JsonFields, rules: RopeRules): RopeScaling {
  const { kinds, aliases = {} } = rules;
  // "type" is what files from before transformers 4.45 say
  const old = rope.string("type");
  const key = rope.has("rope_type") || old === null ? "rope_type" : "type";
  const kind = rope.string(key) ?? "default";
  const named = Object.hasOwn(aliases, kind) ? aliases[kind] : kind;
  const known = kinds.find((one) => one === named);
  if (known === undefined) {
    return rope.refuse(
      key,
      `one of ${kinds.join(", ")}`,
      `This kind of position scaling is not supported for this family.${didYouMean(kind, kinds)}`,
    );
  }
  switch (known) {
    case "default":
      return { kind: "none" };
    case "linear":
      return { kind: "linear", factor: requiredNumber(rope, "factor") };
    case "llama3":
      return parseLlama3(rope, model);
    case "yarn":
      return parseYarn(rope, model);
    case "longrope":
      return parseLongrope(rope, model, rules);
    case "proportional":
      return { kind: "proportional", share: shareIn(rope) };
  }
}

/** Length before stretching: transformers 5 falls back on the model's own; 4 refuses the file. */
function originalPositions(rope: JsonFields, model: JsonFields): number {
  const key = "original_max_position_embeddings";
  return rope.has(key) ? requiredNumber(rope, key) : requiredNumber(model, "max_position_embeddings");
}

function parseLlama3(rope: JsonFields, model: JsonFields): RopeScaling {
  const lowFreqFactor = requiredNumber(rope, "low_freq_factor");
  const highFreqFactor = requiredNumber(rope, "high_freq_factor");
  if (highFreqFactor <= lowFreqFactor) {
    rope.refuse("high_freq_factor", `a number above low_freq_factor (${lowFreqFactor})`);
  }
  return {
    kind: "llama3",
    factor: requiredNumber(rope, "factor"),
    lowFreqFactor,
    highFreqFactor,
    originalMaxPositions: originalPositions(rope, model),
  };
}

function parseYarn(rope: JsonFields, model: JsonFields): RopeScaling {
  const factor = requiredNumber(rope, "factor");
  if (!rope.boolean("truncate", true)) {
    rope.refuse(
      "truncate",
      "true",
      "transformers ignores false in some of its layouts, so the two would differ.",
    );
  }
  return {
    kind: "yarn",
    factor,
    betaFast: rope.positiveNumber("beta_fast", 32),
    betaSlow: rope.positiveNumber("beta_slow", 1),
    originalMaxPositions: originalPositions(rope, model),
    attentionFactor: rope.positiveNumber("attention_factor", factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1),
  };
}

/** LongRoPE: the original length stands beside the table, or in it; the factor on cosines follows from both lengths. */
function parseLongrope(rope: JsonFields, model: JsonFields, rules: RopeRules): RopeScaling {
  const key = "original_max_position_embeddings";
  const original = model.positiveNumber(key, rules.originalPositions ?? originalPositions(rope, model));
  const stretch = rope.positiveNumber(
    "factor",
    model.positiveNumber("max_position_embeddings", original) / original,
  );
  return {
    kind: "longrope",
    shortFactors: rope.positiveNumbers("short_factor"),
    longFactors: rope.positiveNumbers("long_factor"),
    originalMaxPositions: original,
    attentionFactor: rope.positiveNumber("attention_factor", longropeFactor(stretch, original)),
  };
}

/** LongRoPE's factor on cosines and sines (Ding et al. 2024, arXiv:2402.13753, section 3.3) where a file does not name it. */
function longropeFactor(stretch: number, original: number): number {
  return stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(original));
}

function requiredNumber(fields: JsonFields, key: string): number {
  return fields.has(key) ? fields.positiveNumber(key, 1) : fields.refuse(key, "a number above 0");
}

/**
 * The fields of a rotary table in the layout of transformers 4, which transformers 5 reads too.
 *
 * @param maxPositions - the model's, from which both compute LongRoPE's factor on cosines; transformers 4 takes no table that names it
 */
export function exportRope(
  rope: RopeConfig,
  maxPositions: number | null = null,
): {
  rope_theta: number;
  rope_scaling: Record<string, unknown> | null;
} {
  return { rope_theta: rope.theta, rope_scaling: exportScaling(rope.scaling, maxPositions) };
}

/**
 * The fields of two rotary tables.
 *
 * @param slidingThetaKey - transformers 4's key for the base of sliding layers; null: only the layout of transformers 5 has both
 */
export function exportRopes(
  { full, sliding }: ModelConfig["rope"],
  slidingThetaKey: string | null,
): Record<string, unknown> {
  if (sliding === null) return exportRope(full);
  if (sliding.scaling.kind === "none" && slidingThetaKey !== null)
    return { ...exportRope(full), [slidingThetaKey]: sliding.theta };
  // the layout of transformers 4 has no place for a scaling of sliding layers
  return {
    rope_parameters: {
      full_attention: exportRopeParameters(full),
      sliding_attention: exportRopeParameters(sliding),
    },
  };
}

/** A rotary table in the layout of transformers 5. */
function exportRopeParameters(rope: RopeConfig): Record<string, unknown> {
  return { rope_theta: rope.theta, rope_type: "default", ...exportScaling(rope.scaling) };
}

function exportScaling(
  scaling: RopeScaling,
  maxPositions: number | null = null,
): Record<string, unknown> | null {
  switch (scaling.kind) {
    case "none":
      return null;
    case "linear":
      return { factor: scaling.factor, rope_type: "linear" };
    case "llama3":
      return {
        factor: scaling.factor,
        high_freq_factor: scaling.highFreqFactor,
        low_freq_factor: scaling.lowFreqFactor,
        original_max_position_embeddings: scaling.originalMaxPositions,
        rope_type: "llama3",
      };
    case "yarn":
      return {
        attention_factor: scaling.attentionFactor,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalMaxPositions,
        rope_type: "yarn",
      };
    case "longrope":
      return exportLongrope(scaling, maxPositions);
    case "proportional":
      return { partial_rotary_factor: scaling.share, rope_type: "proportional" };
  }
}

function exportLongrope(
  { attentionFactor, longFactors, shortFactors, originalMaxPositions }: RopeScaling & { kind: "longrope" },
  maxPositions: number | null,
): Record<string, unknown> {
  const table = { long_factor: longFactors, short_factor: shortFactors, type: "longrope" };
  const stretch = (maxPositions ?? 0) / originalMaxPositions;
  if (attentionFactor === longropeFactor(stretch, originalMaxPositions)) return table;
  return { attention_factor: attentionFactor, ...table, rope_type: "longrope" };
}
