/** What a trained model makes of the held-out pairs: how likely it finds their answers, and what it answers itself. */
import type { Example } from "../data/example.ts";
import { packExamples } from "../data/packing.ts";
import { distinctN, endedShare } from "../evaluate/text-statistics.ts";
import { sampleAnswers } from "../generate/sample.ts";
import { loadModel } from "../models/load.ts";
import { prepareData } from "../train/prepare-data.ts";
import { scoreBatch } from "../train/score.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { type ResolvedConfig } from "../runs/config-load.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { hasRightForm } from "./world.ts";

/** Held-out figures of one model. */
export interface Measurement {
  /** Mean log-probability per token of each pair's chosen answer, nats. */
  chosen: number[];
  /** The same of the rejected answers. */
  rejected: number[];
  answers: AnswerFigures;
}

/** Figures of sampled answers; shares from 0 to 1. */
export interface AnswerFigures {
  count: number;
  distinct2: number;
  ended: number;
  /** Numbered lines and the closing line, as asked for. */
  rightForm: number;
  /** The chosen answer, letter for letter. */
  right: number;
  /** A few of them, for the report. */
  examples: { question: string; answer: string; right: string }[];
}

/** How to measure. */
export interface MeasureOptions {
  /** The run's configuration; its evaluation data are the held-out pairs. */
  config: ResolvedConfig["config"];
  /** Directory of the model. */
  model: string;
  answersPerPrompt: number;
  seed: number;
  onProgress: (done: number, total: number) => void;
}
export async function measure({ config, model: dir, answersPerPrompt, seed }: any): Promise<Measurement> {
  const { dataset, tokenizer, modelConfig } = await prepareData({ ...config, model_name_or_path: dir, task: "preference" });
  const examples = dataset.examples;
  const model = loadModel(dir);
  const means = scoreAll(model, examples);
  const answers = sampleAnswers(model, examples.map((e) => e.promptIds), { temperature: 1, maxNewTokens: 48, stopIds: new Set(modelConfig.eosTokenIds), seed, answersPerPrompt, promptsAtOnce: 32 });
  const texts = answers.map((a) => tokenizer.decode(a.ids, { skipSpecialTokens: false }));
  const rights = examples.map((e) => tokenizer.decode(e.completions[0]!.ids.slice(0, -1), { skipSpecialTokens: false }));
  const share = (f: any) => answers.filter(f).length / answers.length;
  return { ...means, answers: { count: answers.length, distinct2: distinctN(answers.map((a) => a.ids), 2), ended: endedShare(answers), rightForm: share((a: any, i: number) => a.stopId !== null && hasRightForm(texts[i]!, rights[a.prompt]!)), right: share((a: any, i: number) => a.stopId !== null && texts[i] === rights[a.prompt]),
   examples: answers.slice(0, 6).map((a, i) => ({ question: "", answer: texts[i]!, right: rights[a.prompt]! })) } };
}
function scoreAll(model: CausalLM, examples: readonly Example[]) {
  const chosen: number[] = [], rejected: number[] = [];
  for (let i = 0; i < examples.length; i += 32) {
    const part = examples.slice(i, i + 32);
    for (const s of scoreBatch(model, { packed: packExamples(part), indices: part.map((_, j) => i + j) }, { dtype: "float32", recompute: false, chunkRows: null } as any)) (s.completion === 0 ? chosen : rejected)[s.index] = s.sum / s.logps.length;
  }
  return { chosen, rejected };
}
