/** What weights of two finished runs do when they are mixed: W_A + w (W_B − W_A), measured on the held-out pairs. */
import { join } from "node:path";
import { ConfigError } from "preftune";
import { remove, stringifyNumbers, writeFileAtomic } from "preftune/sweep";
import { type ConfigInput, type ResolvedConfig, runTrial, scorePairs } from "preftune/train";
import { BASELINES, endOfPairs, LIKELIHOOD, type Mixtures } from "./points.ts";

/** How much of the second is taken. */
const weights: readonly number[] = [0.25, 0.5, 0.75];

/**
 * Trains the chosen answers' likelihood alone from the finished run's start, on its rows and with its values, and measures mixtures of the two
 * results on the held-out pairs. The second result is not kept.
 *
 * @throws {ConfigError} for a run with an adapter
 */
export async function writeMixtures(
  { config }: ResolvedConfig,
  path: string,
  input: ConfigInput,
): Promise<void> {
  const { output_dir: run, model_name_or_path: start, use_peft } = config;
  if (use_peft) throw new ConfigError(`${run}: adapters are not mixed by weights. Set use_peft: false.`);
  const folder = join(run, "likelihood");
  remove(folder);
  const dir = join(folder, "run");
  await runTrial({
    config: likelihoodOf(input, dir),
    extra: null,
    dir,
    before: join(folder, "before"),
    mark: join(folder, "measured.json"),
    digest: "",
  });
  const before = await scorePairs(config, { model: start, adapter: null });
  const mixtures: Mixtures["mixtures"][number][] = [];
  for (const weight of weights) {
    const adapter = `${join(dir, "model")}@scale=${weight}`;
    const after = await scorePairs(config, { model: join(run, "model"), adapter });
    mixtures.push({ weight, ...endOfPairs(before, after) });
  }
  remove(folder);
  writeFileAtomic(path, `${stringifyNumbers({ mixtures } satisfies Mixtures)}\n`);
}

/** The configuration with the likelihood alone in place of its objective. */
function likelihoodOf({ values, overrides = [], ...input }: ConfigInput, output_dir: string): ConfigInput {
  // the run may have been resumed; this one begins
  const { resume_from_checkpoint: _, ...own } = values ?? {};
  const [, changes = {}] = BASELINES.find(([name]) => name === LIKELIHOOD) ?? [];
  return {
    ...input,
    values: { ...own, output_dir },
    overrides: [
      ...overrides.filter(([key]) => !(key in changes)),
      ...Object.entries(changes).map(([key, value]): [string, string] => [key, String(value)]),
    ],
  };
}
