/** Which linears of a model are held in fewer bits. */
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { blockLinears } from "./block-linears.ts";
import { isOtherPart, textName } from "./checkpoint-names.ts";
import type { ModelConfig } from "./model-config.ts";
import { type Quantisation, quantisationText } from "./quantisation.ts";

/**
 * How the linears are held: as they are stored in few bits, whatever is asked for, as in transformers; else as is asked for.
 *
 * @param place - the model's directory, for messages
 * @throws {ConfigError} if another form is asked for, or other linears are to stay floats, than it is stored with; or one that it has not
 */
export function heldQuantisation(
  place: string,
  config: ModelConfig,
  asked: Quantisation | null,
): Quantisation | null {
  const { quantisation: stored } = config;
  if (asked !== null && stored === null) requireSkipped(place, config, asked);
  if (stored === null || asked === null) return stored ?? asked;
  const [own, wanted] = [quantisationText(stored), quantisationText(asked)];
  if (own !== wanted) {
    const which =
      asked.bits === 8 && asked.withHead
        ? "--weights int8 would round them a second time. Leave --weights out, to generate with them as they are stored"
        : `${wanted} are asked for. Leave load_in_4bit and load_in_8bit out`;
    throw new ConfigError(
      `${place}: its linears are stored in ${own}, and ${which}, or take the float checkpoint.`,
    );
  }
  // the head is a matrix either way
  const listed = (of: Quantisation) =>
    JSON.stringify(of.skipModules.filter((name) => name !== "lm_head").toSorted());
  if (asked.skipModules.length > 0 && listed(asked) !== listed(stored)) {
    throw new ConfigError(
      `${place}: llm_int8_skip_modules: expected ${JSON.stringify(stored.skipModules)}, with which its linears are stored in ${own}, ` +
        `got ${JSON.stringify(asked.skipModules)}. Leave the option out, or take the float checkpoint.`,
    );
  }
  return stored;
}

/**
 * Whether the linear of a block at `path` is held in fewer bits. The head and the embedding never are. Names may be those of a text-only
 * checkpoint or of a multimodal one.
 */
export function isQuantised({ skipModules }: Quantisation, path: string): boolean {
  return !skipModules.map(textName).some((name) => isNamed(name, path));
}

/** As in transformers: by path, beginning of a path or last letters of one. */
function isNamed(name: string, path: string): boolean {
  return path === name || path.startsWith(`${name}.`) || (name !== "" && path.endsWith(name));
}

/** Modules that a list may name although they are held in `dtype` anyway. */
const neverQuantised = ["lm_head", "model.embed_tokens", "score"];

/** The names among those of `llm_int8_skip_modules` that `config` has modules of: a model beside the policy may be another one. */
export function ownSkipModules(config: ModelConfig, names: readonly string[]): string[] {
  const paths = [...linearsOf(config), ...neverQuantised];
  return names.filter(
    (name) =>
      (config.isMultimodalText && isOtherPart(name)) || paths.some((path) => isNamed(textName(name), path)),
  );
}

function linearsOf(config: ModelConfig): string[] {
  return config.layerKinds.flatMap((_, layer) =>
    blockLinears(config, layer).map(({ path }) => `model.layers.${layer}.${path}`),
  );
}

/** @throws {ConfigError} for a name of llm_int8_skip_modules that no linear of the text model has */
function requireSkipped(place: string, config: ModelConfig, { skipModules }: Quantisation): void {
  const own = ownSkipModules(config, skipModules);
  const unknown = skipModules.find((name) => !own.includes(name));
  if (unknown === undefined) return;
  const linears = linearsOf(config);
  const known = [...new Set(linears.map((path) => path.slice(path.lastIndexOf(".") + 1)))];
  throw new ConfigError(
    `${place}: llm_int8_skip_modules: expected names of its linears (${known.join(", ")}), paths such as ${linears[0]} or beginnings of one, ` +
      `got "${unknown}".${didYouMean(unknown, known)}`,
  );
}
