/** A round small enough to be done again and again: six prompts, three fixed ones, two steps of training. */
import { type RunFixture, runFixture } from "./runs.ts";
import { writeRows } from "./tiny-model.ts";

/** A fixture whose model is that of its rounds. */
export interface RoundFixture extends RunFixture {
  /** The text of a round's file. @param more - keys besides, or in place of the fixture's own */
  roundText(more: Record<string, unknown>): string;
}

/** Makes a model that ends an answer after some ten tokens, and files of prompts. */
export function roundFixture(): RoundFixture {
  const ends = [2, ...Array.from({ length: 30 }, (_, i) => 200 + i)];
  const fixture = runFixture({ held: 0, config: { eos_token_id: ends } });
  const asking = (name: string, count: number, animal: string): string =>
    writeRows(
      fixture.path(name),
      Array.from({ length: count }, (_, i) => ({ prompt: `${i}: where is the ${animal}?` })),
    );
  const values = {
    ...{ objective: "dpo", use_peft: true, max_steps: 2, learning_rate: 1e-3 },
    ...{ eval_fraction: 0.3, eval_steps: 2, watch_prompts: null, report_to: [] },
    ...{ device: "cpu", dtype: "float32", threads: 1 },
  };
  const round = {
    ...{ model: fixture.values["model_name_or_path"], values },
    ...{ prompts: asking("prompts.jsonl", 6, "cow"), eval_prompts: asking("fixed.jsonl", 3, "pig") },
    ...{ num_generations: 4, max_completion_length: 60 },
  };
  return { ...fixture, roundText: (more) => JSON.stringify({ ...round, ...more }) };
}
