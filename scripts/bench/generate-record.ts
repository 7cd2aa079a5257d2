/** The generation benchmark's plan, what each measured process reports, and the table that follows from it. */
import { at } from "../../src/base/at.ts";
import { Random } from "../../src/base/random.ts";
import { textTable } from "../../src/terminal/text-table.ts";

/** What both sides do. */
export interface GenerationPlan {
  modelDir: string;
  vocabulary: number;
  /** Prompts at once, one run each. */
  batches: number[];
  promptTokens: number;
  newTokens: number;
  threads: number;
  /** How our weights are held; default: float32. */
  form?: HeldForm;
  /** Whether our side also measures what bounds it: its prompts alone, and the fastest product. Default: no. */
  limits?: boolean;
  /** Tokens whose log-probs are asked for, as one prompt; default: none. */
  scored?: number[];
}

/** How weights are held: in a type, or in 8 bits with float32 activations. */
export const heldForms = ["float32", "bfloat16", "int8"] as const;

/** See {@link heldForms}. */
export type HeldForm = (typeof heldForms)[number];

/** One side's runs. */
export interface GenerationRecord {
  /** `cpu`: processor time of all threads, seconds; other programs on the machine lengthen it far less than `seconds`. */
  runs: {
    batch: number;
    seconds: number;
    cpu: number;
    ids: number[][];
    /** To the first token of each prompt, with nothing behind it. */
    promptSeconds?: number;
  }[];
  /** Of the fastest float32 product. */
  gemmGflops?: number;
  /** The weights that a decoded token reads, and the quickest of some plain sums over them, seconds. */
  weights?: { bytes: number; seconds: number };
  /** Instruction sets and libraries that llama.cpp says it computes with. */
  features?: string;
  /** Of `scored`, from its second token on, nats; left out where nothing is scored. */
  logprobs?: number[];
}

/** The prompts of a batch: random ids, the same on both sides. */
export function promptsOf({ vocabulary, promptTokens }: GenerationPlan, batch: number): number[][] {
  const random = new Random(batch);
  return Array.from({ length: batch }, () =>
    Array.from({ length: promptTokens }, () => 3 + random.below(vocabulary - 3)),
  );
}

/** A batch's figures over all rounds. */
export interface GenerationFigures {
  batch: number;
  /** Tokens a second of the quickest round. */
  ours: number;
  theirs: number;
  /** Of each round's pair of runs: theirs over ours in seconds. */
  ratios: number[];
  /** Theirs over ours in processor time, of the rounds with the least. */
  cpuRatio: number;
  /** Fraction of new tokens that are the same on both sides up to where an answer first differs. */
  agreement: number;
}

/** Rounds of both sides to figures, a batch each. */
export function generationFigures(
  ours: readonly GenerationRecord[],
  theirs: readonly GenerationRecord[],
): GenerationFigures[] {
  return (ours[0]?.runs ?? []).map(({ batch, ids }, place): GenerationFigures => {
    const times = (records: readonly GenerationRecord[], key: "seconds" | "cpu") =>
      records.map(({ runs }) => runs[place]?.[key] ?? 0);
    const [own, other] = [times(ours, "seconds"), times(theirs, "seconds")];
    const tokens = ids.reduce((sum, answer) => sum + answer.length, 0);
    return {
      batch,
      ours: tokens / Math.min(...own),
      theirs: tokens / Math.min(...other),
      ratios: own.map((time, i) => at(other, i) / time),
      cpuRatio: Math.min(...times(theirs, "cpu")) / Math.min(...times(ours, "cpu")),
      agreement: agreementOf(ids, theirs[0]?.runs[place]?.ids ?? []),
    };
  });
}

/** Fraction of the tokens of `ours` that are those of `theirs`, up to where an answer first differs. */
export function agreementOf(ours: readonly number[][], theirs: readonly number[][]): number {
  let same = 0;
  let all = 0;
  for (const [i, answer] of ours.entries()) {
    const first = answer.findIndex((id, t) => id !== theirs[i]?.[t]);
    same += first < 0 ? answer.length : first;
    all += answer.length;
  }
  return same / all;
}

/** Decimal places of tokens a second: a model of a billion weights makes few of them. */
export function rateDigits(rate: number): number {
  return rate < 20 ? 2 : 0;
}

/** The figures beside those of `peer` as a table. */
export function generationTable(figures: readonly GenerationFigures[], peer: string): string {
  const rows = figures.map(({ batch, ours, theirs, ratios, cpuRatio, agreement }) => [
    String(batch),
    ours.toFixed(rateDigits(ours)),
    theirs.toFixed(rateDigits(theirs)),
    `${(ours / theirs).toFixed(2)}x`,
    ratios.map((ratio) => ratio.toFixed(2)).join(", "),
    `${cpuRatio.toFixed(2)}x`,
    `${(100 * agreement).toFixed(1)} %`,
  ]);
  return textTable(
    [
      "answers\nat once",
      "preftune\ntokens/s",
      `${peer}\ntokens/s`,
      "quickest\nrounds",
      "each\nround",
      "processor\ntime",
      "same\ntokens",
    ],
    rows,
  );
}
