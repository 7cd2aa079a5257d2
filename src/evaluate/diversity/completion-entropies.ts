/** How sure a model was of the answers it gave: the entropy of its next-token distribution at each of their tokens. */
import { at } from "../../base/at.ts";
import type { Example } from "../../data/example.ts";
import { packExamples } from "../../data/packing.ts";
import { allCompletions, toDevice } from "../../forward/batch.ts";
import { tokenLogpsHead } from "../../forward/head.ts";
import type { Numerics } from "../../forward/numerics.ts";
import { walk } from "../../forward/walk.ts";
import type { SampledCompletion } from "../../generate/sample.ts";
import type { CausalLM } from "../../models/causal-lm.ts";
import { scope } from "../../torch/index.ts";

/** Prompts computed together. */
const promptsAtOnce = 8;

/**
 * Entropies (nats) at the tokens of each of `answers`, the token that ended it included, in their order. Taken at
 * temperature 1, whatever the answers were drawn at.
 */
export function completionEntropies(
  model: CausalLM,
  prompts: readonly (readonly number[])[],
  answers: readonly SampledCompletion[],
  numerics: Numerics,
): number[][] {
  const out: number[][] = answers.map(() => []);
  const byPrompt = prompts.map((_, prompt) =>
    answers.flatMap((answer, i) => (answer.prompt === prompt ? [i] : [])),
  );
  const asked = prompts.map((_, prompt) => prompt).filter((prompt) => (byPrompt[prompt] ?? []).length > 0);
  for (let first = 0; first < asked.length; first += promptsAtOnce) {
    const part = asked.slice(first, first + promptsAtOnce);
    const places = part.map((prompt) => at(byPrompt, prompt));
    const examples = part.map((prompt, i): Example => {
      const own = at(places, i).map((place) => at(answers, place));
      return {
        origin: { file: "sampled answers", line: prompt + 1 },
        promptIds: [...at(prompts, prompt)],
        completions: own.map(({ ids, stopId }) => ({ ids: stopId === null ? ids : [...ids, stopId] })),
      };
    });
    for (const { example, completion, entropies } of entropiesOf(model, examples, {
      ...numerics,
      temperature: 1,
    })) {
      out[at(at(places, example), completion)] = entropies;
    }
  }
  return out;
}

function entropiesOf(
  model: CausalLM,
  examples: readonly Example[],
  numerics: Numerics,
): { example: number; completion: number; entropies: number[] }[] {
  using _ = scope();
  const packed = packExamples(examples);
  const batch = toDevice(packed, model.device);
  const head = tokenLogpsHead(model, { ...numerics, entropies: true });
  const run = walk(model, batch, head, { ...numerics, trained: null });
  const pass = run.head(allCompletions(batch));
  const values = Array.from((pass.entropies?.data() ?? []) as Float32Array);
  return packed.spans.map(({ example, completion, start, end }) => ({
    example,
    completion,
    entropies: values.slice(start, end),
  }));
}
