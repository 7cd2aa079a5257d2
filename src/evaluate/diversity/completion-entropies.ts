/** How sure a model was of the answers it gave: the entropy of its next-token distribution at each of their tokens. */
import { at } from "../../base/at.ts";
import { completionBatches, usualTokensAtOnce } from "../../data/completion-batches.ts";
import type { Example } from "../../data/example.ts";
import { packExamples } from "../../data/packing.ts";
import { allCompletions, toDevice } from "../../forward/batch.ts";
import { tokenLogpsHead } from "../../forward/head.ts";
import type { Numerics } from "../../forward/numerics.ts";
import { walk } from "../../forward/walk.ts";
import type { SampledCompletion } from "../../generate/sample.ts";
import type { CausalLM } from "../../models/causal-lm.ts";
import { scope } from "../../torch/index.ts";

/** How entropies are computed. */
export interface EntropyOptions extends Numerics {
  /** Tokens at once; a text that has more is alone. Default 4096. */
  tokensAtOnce?: number;
}

/**
 * Entropies (nats) at the tokens of each of `answers`, the token that ended it included, in their order. Taken at
 * temperature 1, whatever the answers were drawn at.
 */
export function completionEntropies(
  model: CausalLM,
  prompts: readonly (readonly number[])[],
  answers: readonly SampledCompletion[],
  { tokensAtOnce = usualTokensAtOnce, ...numerics }: EntropyOptions,
): number[][] {
  const byPrompt = Map.groupBy(answers.keys(), (place) => at(answers, place).prompt);
  const asked = [...byPrompt].map(([prompt, places]) => ({ promptIds: at(prompts, prompt), places }));
  const groups = asked.map(({ promptIds, places }) => ({
    promptIds,
    completions: places.map((place) => {
      const { ids, stopId } = at(answers, place);
      return stopId === null ? ids : [...ids, stopId];
    }),
  }));
  const entropies = completionBatches(groups, tokensAtOnce, "sampled answers").flatMap((examples) =>
    entropiesOf(model, examples, { ...numerics, temperature: 1 }),
  );
  const out: number[][] = answers.map(() => []);
  for (const [i, place] of asked.flatMap(({ places }) => places).entries()) out[place] = at(entropies, i);
  return out;
}

/** (completion)(token) of `examples`, in their order. */
function entropiesOf(model: CausalLM, examples: readonly Example[], numerics: Numerics): number[][] {
  using _ = scope();
  const packed = packExamples(examples);
  const batch = toDevice(packed, model.device);
  const head = tokenLogpsHead(model, { ...numerics, entropies: true });
  const run = walk(model, batch, head, { ...numerics, trained: null });
  const pass = run.head(allCompletions(batch));
  const values = Array.from((pass.entropies?.data() ?? []) as Float32Array);
  return packed.spans.map(({ start, end }) => values.slice(start, end));
}
