/**
 * Opens a PEFT adapter directory: its settings and the checked header of its tensors.
 *
 * Which modules carry LoRA is read from the tensors, so that a regular expression or "all-linear" in the settings need
 * not be applied to a model. Names and settings are in `adapter-names.ts` and `adapter-config.ts`.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FileError, FormatError } from "../base/errors.ts";
import { readJsonFile } from "../base/files.ts";
import { settingsLimits } from "../base/json-limits.ts";
import { type AdapterConfig, loraScale, parseAdapterConfig } from "./adapter-config.ts";
import {
  type AdapterTensorName,
  isNamed,
  type LoraPart,
  parseAdapterTensorName,
  patternsAt,
  storedModule,
} from "./adapter-names.ts";
import { adapterPlace } from "./adapter-scale.ts";
import { textName } from "./checkpoint-names.ts";
import { readSafetensorsHeader, type SafetensorsFile, type TensorEntry } from "./safetensors.ts";

/** The tensors of one LoRA module: A (rank, in), B (out, rank), and DoRA's magnitude (out) or null. */
export interface LoraTensors {
  A: TensorEntry;
  B: TensorEntry;
  magnitude: TensorEntry | null;
}

/** An adapter directory. Its tensors' data is not read. */
export interface AdapterFiles {
  dir: string;
  /** How much of it is taken: alpha is scaled already; DoRA's magnitudes and saved modules are those of the file. */
  scale: number;
  config: AdapterConfig;
  file: SafetensorsFile;
  /** By path of the module in the model. */
  lora: Map<string, LoraTensors>;
  /** Parameters saved whole, by their path in the model, e.g. "lm_head.weight". */
  saved: Map<string, TensorEntry>;
}

/** File name of an adapter's settings. */
export const adapterConfigName: string = "adapter_config.json";

/** File name of an adapter's tensors. */
export const adapterWeightsName: string = "adapter_model.safetensors";

/** Whether `dir` holds a PEFT adapter and no model. */
export function isAdapter(place: string): boolean {
  const { place: dir } = adapterPlace(place);
  return existsSync(join(dir, adapterConfigName)) && !existsSync(join(dir, "config.json"));
}

/** Whether `place` is that of a fully tuned model, of which a scale takes a part as it does of an adapter. */
export function isTunedModel(place: string): boolean {
  const { place: dir } = adapterPlace(place);
  return existsSync(join(dir, "config.json")) && !existsSync(join(dir, adapterConfigName));
}

/**
 * The checked adapter in a directory, `DIR` or `DIR@scale=0.4`.
 *
 * When the settings narrow their targets by other means than a list, `config.targetModules` has the full paths of the
 * modules found in the file.
 * @throws {FileError} when a file is missing
 * @throws {FormatError} for pickles, other PEFT methods, unsupported variants, and tensors that do not fit the settings
 */
export function readAdapter(from: string): AdapterFiles {
  const { place: dir, scale } = adapterPlace(from);
  const configPath = join(dir, adapterConfigName);
  if (!existsSync(configPath)) {
    throw new FileError(
      `${dir}: expected a PEFT adapter with ${adapterConfigName}, there is none. Check the path.`,
    );
  }
  const { config, targets, isNarrowed } = parseAdapterConfig(
    readJsonFile(configPath, settingsLimits),
    configPath,
  );
  const file = readSafetensorsHeader(weightsPath(dir));
  const { lora, saved } = sortTensors(file);
  const isList = typeof targets !== "string" && !isNarrowed;
  const adapter = {
    dir,
    scale,
    config: {
      ...scaledConfig({ ...config, ...textPatterns(config, lora) }, scale),
      targetModules: isList ? targets.map(textName) : [...lora.keys()],
      modulesToSave: config.modulesToSave.map(textName),
    },
    file,
    lora,
    saved,
  };
  for (const [module, tensors] of lora) requireShapes(adapter, module, tensors);
  requireSaved(adapter);
  return adapter;
}

/** Patterns over the paths of a text model: PEFT matches them against those of the class that the adapter was saved of. */
function textPatterns(
  config: Pick<AdapterConfig, "rankPattern" | "alphaPattern">,
  lora: AdapterFiles["lora"],
): Pick<AdapterConfig, "rankPattern" | "alphaPattern"> {
  const paths = [...lora].map(([module, { A }]) => [storedModule(A.name), module] as const);
  return paths.every(([stored, module]) => stored === module) ? config : patternsAt(config, paths);
}

/** Settings with which PEFT computes the same: it multiplies by alpha / rank. */
function scaledConfig<T extends Pick<AdapterConfig, "alpha" | "alphaPattern">>(config: T, scale: number): T {
  const patterns = Object.entries(config.alphaPattern).map(([name, alpha]) => [name, alpha * scale]);
  return { ...config, alpha: config.alpha * scale, alphaPattern: Object.fromEntries(patterns) };
}

function weightsPath(dir: string): string {
  const path = join(dir, adapterWeightsName);
  if (existsSync(path)) return path;
  if (existsSync(join(dir, "adapter_model.bin"))) {
    throw new FormatError(
      `${dir}: expected ${adapterWeightsName}, got the pickle adapter_model.bin. Pickles can run code when loaded and ` +
        "are never opened here. Load the adapter in PEFT and save it again; it then writes safetensors.",
    );
  }
  throw new FileError(`${path}: the adapter's tensors are missing. Finish the download.`);
}

/** @throws {FormatError} for a tensor that is not computed with */
function meaningOf({ name: tensor }: TensorEntry, { path }: SafetensorsFile): AdapterTensorName {
  const name = parseAdapterTensorName(tensor);
  if (name === null) {
    throw new FormatError(
      `${path}: tensor "${tensor}": expected lora_A, lora_B, lora_magnitude_vector or a saved module's ` +
        "weight. This kind of adapter is not supported; merge it in PEFT and use the merged model.",
    );
  }
  return name;
}

function sortTensors(file: SafetensorsFile): Pick<AdapterFiles, "lora" | "saved"> {
  const parts = new Map<string, Partial<Record<LoraPart, TensorEntry>>>();
  const saved = new Map<string, TensorEntry>();
  for (const entry of file.tensors.values()) {
    const name = meaningOf(entry, file);
    if (name.kind === "saved") saved.set(`${name.module}.${name.parameter}`, entry);
    else parts.set(name.module, { ...parts.get(name.module), [name.kind]: entry });
  }
  if (parts.size === 0)
    throw new FormatError(`${file.path}: expected LoRA tensors, got none. Save the adapter again.`);
  const lora = new Map<string, LoraTensors>();
  for (const [module, { A, B, magnitude = null }] of parts) {
    if (A === undefined || B === undefined) {
      const missing = A === undefined ? "lora_A" : "lora_B";
      throw new FormatError(`${file.path}: module "${module}" has no ${missing}. Save the adapter again.`);
    }
    lora.set(module, { A, B, magnitude });
  }
  return { lora, saved };
}

function requireShapes(
  { config, file }: AdapterFiles,
  module: string,
  { A, B, magnitude }: LoraTensors,
): void {
  const { rank } = loraScale(config, module);
  const out = B.shape[0] ?? 0;
  const refuse = (entry: TensorEntry, expected: string): never => {
    throw new FormatError(
      `${file.path}: tensor "${entry.name}": expected shape ${expected}, got [${entry.shape.join(", ")}]. ` +
        `${adapterConfigName} is from another adapter; restore the one saved with these tensors.`,
    );
  };
  if (A.shape.length !== 2 || A.shape[0] !== rank) refuse(A, `[${rank}, in]`);
  if (B.shape.length !== 2 || B.shape[1] !== rank) refuse(B, `[out, ${rank}]`);
  if (magnitude !== null && magnitude.shape.join() !== String(out)) refuse(magnitude, `[${out}]`);
  if ((magnitude !== null) !== config.useDora) {
    const got = magnitude === null ? "no lora_magnitude_vector" : "a lora_magnitude_vector";
    throw new FormatError(
      `${file.path}: use_dora is ${config.useDora}, but module "${module}" has ${got}. ` +
        `${adapterConfigName} is from another adapter; restore the one saved with these tensors.`,
    );
  }
}

/** Saved modules and the settings name each other, and all that is saved or adapted can be computed. */
function requireSaved(adapter: AdapterFiles): void {
  const { config, file, saved, lora } = adapter;
  const weights = [...saved].map(([name, entry]) => ({
    module: name.slice(0, name.lastIndexOf(".")),
    entry,
  }));
  const vector = weights.find(({ entry: { name, shape } }) => name.endsWith(".weight") && shape.length !== 2);
  if (vector !== undefined) {
    throw new FormatError(
      `${file.path}: expected modules_to_save to name linears and embeddings, got "${vector.module}", whose weight has ` +
        `shape [${vector.entry.shape.join(", ")}]. ${mergeInPeft}`,
    );
  }
  const missing = config.modulesToSave.find(
    (target) => !weights.some(({ module }) => isNamed(module, target)),
  );
  if (missing !== undefined) {
    throw new FormatError(
      `${file.path}: expected the weights of "${missing}", which modules_to_save names, got none. Save the adapter again.`,
    );
  }
  const stray = weights.find(({ module }) => !config.modulesToSave.some((target) => isNamed(module, target)));
  if (stray !== undefined) {
    throw new FormatError(
      `${file.path}: tensor "${stray.entry.name}": expected weights of modules that modules_to_save names, got those of ` +
        `"${stray.module}", as PEFT saves embedding and head where the vocabulary was changed or save_embedding_layers was given. ` +
        mergeInPeft,
    );
  }
  if (lora.has("lm_head")) {
    throw new FormatError(
      `${file.path}: expected LoRA on linears of blocks, got it on lm_head, whose log-probs are computed without its full output. ${mergeInPeft}`,
    );
  }
}

const mergeInPeft =
  "This adapter cannot be used here: merge it in PEFT (merge_and_unload) and use the merged model.";
