/** Reads and writes the rotary-embedding fields of `config.json`, in the layouts of transformers 4 and 5. */
import { didYouMean } from "../base/suggest.ts";
import { JsonFields } from "./json-fields.ts";
import type { RopeConfig, RopeScaling } from "./model-config.ts";

const ropeKinds = ["default", "linear", "llama3"] as const;

/**
 * The rotary table of a model whose layers all share one (Llama, Qwen3).
 *
 * @param defaultTheta - base when the file names none
 * @throws {FormatError} for a scaling that is not default, linear or llama3
 */
export function parseRope(fields: JsonFields, file: string, defaultTheta: number): RopeConfig {
  refusePartialRotary(fields);
  // transformers 5 also lets the old `rope_scaling` win over `rope_parameters` where a file has both.
  const key = fields.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  const rope = fields.object(key) ?? new JsonFields({}, file, key);
  const theta = fields.positiveNumber("rope_theta", defaultTheta);
  return { theta: rope.positiveNumber("rope_theta", theta), scaling: parseScaling(rope, fields) };
}

/**
 * The rotary tables of Gemma 3's full and sliding layers.
 *
 * In transformers 4 `rope_scaling` belongs to the full layers alone; transformers 5 has an entry per layer type.
 * @throws {FormatError} as {@link parseRope}, and for `rope_parameters` without an entry per layer type
 */
export function parseGemmaRope(fields: JsonFields, file: string): { full: RopeConfig; sliding: RopeConfig } {
  refusePartialRotary(fields);
  const parameters = fields.object("rope_parameters");
  const kinds = Object.keys(parameters?.values ?? {});
  if (kinds.some((kind) => kind !== "full_attention" && kind !== "sliding_attention")) {
    fields.refuse("rope_parameters", 'an entry for each of "full_attention" and "sliding_attention"');
  }
  const full = {
    ...parameters?.object("full_attention")?.values,
    ...fields.object("rope_scaling")?.values,
  };
  const sliding = parameters?.object("sliding_attention")?.values ?? {};
  const read = (values: Readonly<Record<string, unknown>>, name: string, theta: number): RopeConfig => {
    const rope = new JsonFields(values, file, fields.where(`rope_parameters.${name}`));
    return { theta: rope.positiveNumber("rope_theta", theta), scaling: parseScaling(rope, fields) };
  };
  return {
    full: read(full, "full_attention", fields.positiveNumber("rope_theta", 1_000_000)),
    sliding: read(sliding, "sliding_attention", fields.positiveNumber("rope_local_base_freq", 10_000)),
  };
}

function refusePartialRotary(fields: JsonFields): void {
  if (fields.positiveNumber("partial_rotary_factor", 1) !== 1) {
    fields.refuse("partial_rotary_factor", "1 (rotation of whole heads)", "This model is not supported.");
  }
}

function parseScaling(rope: JsonFields, model: JsonFields): RopeScaling {
  refusePartialRotary(rope);
  // "type" is what files from before transformers 4.45 say.
  const key = rope.has("rope_type") ? "rope_type" : "type";
  const kind = rope.string(key) ?? "default";
  switch (kind) {
    case "default":
      return { kind: "none" };
    case "linear":
      return { kind: "linear", factor: requiredNumber(rope, "factor") };
    case "llama3":
      return parseLlama3(rope, model);
    default:
      return rope.refuse(
        key,
        `one of ${ropeKinds.join(", ")}`,
        `This kind of position scaling is not supported.${didYouMean(kind, ropeKinds)}`,
      );
  }
}

function parseLlama3(rope: JsonFields, model: JsonFields): RopeScaling {
  const lowFreqFactor = requiredNumber(rope, "low_freq_factor");
  const highFreqFactor = requiredNumber(rope, "high_freq_factor");
  if (highFreqFactor <= lowFreqFactor) {
    rope.refuse("high_freq_factor", `a number above low_freq_factor (${lowFreqFactor})`);
  }
  const originalKey = "original_max_position_embeddings";
  // transformers 5 falls back on the model's own length; 4 refuses the file.
  const original = rope.has(originalKey) ? rope : model;
  return {
    kind: "llama3",
    factor: requiredNumber(rope, "factor"),
    lowFreqFactor,
    highFreqFactor,
    originalMaxPositions: requiredNumber(
      original,
      original === rope ? originalKey : "max_position_embeddings",
    ),
  };
}

function requiredNumber(fields: JsonFields, key: string): number {
  return fields.has(key) ? fields.positiveNumber(key, 1) : fields.refuse(key, "a number above 0");
}

/** The fields of a rotary table in the layout of transformers 4, which transformers 5 reads too. */
export function exportRope(rope: RopeConfig): {
  rope_theta: number;
  rope_scaling: Record<string, unknown> | null;
} {
  return { rope_theta: rope.theta, rope_scaling: exportScaling(rope.scaling) };
}

/** A rotary table in the layout of transformers 5. */
export function exportRopeParameters(rope: RopeConfig): Record<string, unknown> {
  return { rope_theta: rope.theta, rope_type: "default", ...exportScaling(rope.scaling) };
}

function exportScaling(scaling: RopeScaling): Record<string, unknown> | null {
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
  }
}
