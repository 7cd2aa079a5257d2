/** Linears held in fewer bits, as bitsandbytes holds them: what is, how it is said, and how large it is. */
import { brief, type JsonFields } from "./json-fields.ts";

/** Tables of 4-bit numbers: quantiles of the normal distribution (QLoRA, arXiv:2305.14314), or floats of 4 bits. */
export const quantTypes = ["nf4", "fp4"] as const;

/** One of them. */
export type QuantType = (typeof quantTypes)[number];

/** How the linears of a model's blocks are held. */
export type Quantisation = (
  | {
      bits: 4;
      quantType: QuantType;
      /** Whether the blocks' largest values are held in 8 bits themselves. */
      doubleQuant: boolean;
    }
  | {
      bits: 8;
      /** Whether the head is computed in 8 bits too, from a copy of its matrix: in generation alone. */
      withHead?: true;
    }
) & {
  /** Linears that stay as they are, by path, beginning of a path or last letters of one. */
  skipModules: readonly string[];
};

/** Numbers of a block in 4 bits, and of a block of 8-bit largest values. */
export const quantBlock = 64;
export const nestedBlock = 256;

/** Keys that say how a model is loaded, by transformers' names. */
export interface QuantisationKeys {
  load_in_4bit: boolean;
  load_in_8bit: boolean;
  bnb_4bit_quant_type: QuantType;
  bnb_4bit_use_double_quant: boolean;
  llm_int8_skip_modules: readonly string[] | null;
}

/** How generation holds weights: in `dtype`, or every matrix in 8 bits, row by row. */
export const weightForms = ["dtype", "int8"] as const;

/** See {@link weightForms}. */
export type WeightForm = (typeof weightForms)[number];

/** How the matrices are held in a form; null: in `dtype`. */
export function quantisationOfForm(form: WeightForm): Quantisation | null {
  return form === "int8" ? { bits: 8, withHead: true, skipModules: [] } : null;
}

function fourBits(quantType: QuantType, doubleQuant: boolean, skipModules: readonly string[]): Quantisation {
  return { bits: 4, quantType, doubleQuant, skipModules };
}

/** What the keys ask for; null: nothing. A key that is left out has its default. */
export function askedQuantisation(keys: Partial<QuantisationKeys>): Quantisation | null {
  const skipModules = keys.llm_int8_skip_modules ?? [];
  if (keys.load_in_8bit) return { bits: 8, skipModules };
  if (!keys.load_in_4bit) return null;
  const { bnb_4bit_quant_type = "nf4", bnb_4bit_use_double_quant = false } = keys;
  return fourBits(bnb_4bit_quant_type, bnb_4bit_use_double_quant, skipModules);
}

/** In words: "4 bits (nf4, double quantisation)". */
export function quantisationText(of: Quantisation): string {
  if (of.bits === 8) return "8 bits";
  return `4 bits (${of.quantType}${of.doubleQuant ? ", double quantisation" : ""})`;
}

/** As options of a command: "--load-in-4bit --bnb-4bit-use-double-quant". */
export function quantisationOptions(of: Quantisation): string {
  if (of.bits === 8 && of.withHead) return "--weights int8";
  const { skipModules } = of;
  const type = of.bits === 4 && of.quantType !== "nf4" ? [`--bnb-4bit-quant-type ${of.quantType}`] : [];
  const isDouble = of.bits === 4 && of.doubleQuant;
  return [
    of.bits === 4 ? "--load-in-4bit" : "--load-in-8bit",
    ...type,
    ...(isDouble ? ["--bnb-4bit-use-double-quant"] : []),
    ...(skipModules.length > 0 ? [`--llm-int8-skip-modules ${skipModules.toSorted().join(",")}`] : []),
  ].join(" ");
}

/** Bytes of a linear's weight. */
export function quantisedBytes(
  of: Quantisation,
  { inputs, outputs }: { inputs: number; outputs: number },
): number {
  const numel = inputs * outputs;
  if (of.bits === 8) return numel + 4 * outputs;
  const blocks = Math.ceil(numel / quantBlock);
  const tables = 4 * 16;
  if (!of.doubleQuant) return Math.ceil(numel / 2) + 4 * blocks + tables;
  return Math.ceil(numel / 2) + blocks + 4 * Math.ceil(blocks / nestedBlock) + tables + 4 * 256 + 4;
}

const useTheFloats =
  "Use the float checkpoint that this one was made from, with load_in_4bit: true to train on it in 4 bits; or load it in transformers, " +
  "call model.dequantize() and save it again.";

/**
 * What a config.json says of its weights; null: they are floats.
 *
 * @throws {FormatError} for quantisation that is not bitsandbytes', naming the field
 */
export function checkpointQuantisation(top: JsonFields): Quantisation | null {
  if (top.has("compression_config")) {
    return top.refuse(
      "compression_config",
      "floats, or weights in 4 or 8 bits of bitsandbytes",
      useTheFloats,
    );
  }
  const fields = top.object("quantization_config");
  if (fields === null) return null;
  const method = fields.string("quant_method");
  if (method !== "bitsandbytes" && method !== null) {
    return fields.refuse("quant_method", '"bitsandbytes"', useTheFloats);
  }
  const four = fields.boolean("load_in_4bit", false);
  const eight = fields.boolean("load_in_8bit", false);
  if (four === eight) {
    return top.refuse(
      "quantization_config",
      `bitsandbytes' with load_in_4bit or load_in_8bit (${brief(four)} and ${brief(eight)})`,
      useTheFloats,
    );
  }
  // what is quantised, the files say tensor by tensor: this is for those that have the configuration alone
  const skipModules = fields.strings("llm_int8_skip_modules") ?? [];
  if (eight) return { bits: 8, skipModules };
  const quantType = quantTypes.find((type) => type === (fields.string("bnb_4bit_quant_type") ?? "fp4"));
  if (quantType === undefined) return fields.refuse("bnb_4bit_quant_type", quantTypes.join(" or "));
  const storage = fields.string("bnb_4bit_quant_storage") ?? "uint8";
  if (storage !== "uint8") {
    return fields.refuse(
      "bnb_4bit_quant_storage",
      '"uint8"',
      "Save the model again with bnb_4bit_quant_storage left out.",
    );
  }
  return fourBits(quantType, fields.boolean("bnb_4bit_use_double_quant", false), skipModules);
}
