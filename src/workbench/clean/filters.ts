/** What takes rows out: the findings of `data check` by their codes, and filters of their own with options. */
import { z } from "zod";
import { DataError } from "../../base/errors.ts";
import { warn } from "../../base/warn.ts";
import { describeOrigin } from "../../data/example.ts";
import { describeFindings, type FindingCode } from "../../data/findings.ts";
import { readRows } from "../../data/sources.ts";
import { numberOf } from "../../text/json-number.ts";
import type { CleanRow } from "./clean-row.ts";
import { NearTexts, WordRuns } from "./words.ts";

/** What a filter works with besides the rows. */
export interface FilterContext {
  /** The prompts of the held-out rows by their `promptKey`; null where none were named. */
  heldOut: ReadonlySet<string> | null;
  /** Whether rows have tokens. */
  hasModel: boolean;
}

/** Says of a row what is found in it, "" where the code says all; null: nothing, and it stays. Gets the rows one by one, in their order. */
export type Finder = (row: CleanRow) => string | null;

/** A kind of filter. */
export interface FilterKind {
  code: string;
  /** What it takes, for the documentation. */
  words: string;
  options: z.ZodType<Record<string, unknown>>;
  /** It looks at tokens: a model must be named. */
  needsTokens?: boolean;
  /** @throws {DataError} where it lacks what it needs */
  open: (context: FilterContext, options: Record<string, unknown>) => Promise<Finder> | Finder;
}

const none = z.strictObject({});

/** Codes whose finding needs no tokens. */
const ofText: ReadonlySet<FindingCode> = new Set([
  "invalid_row",
  "empty_answer",
  "identical_pair",
  "scores_contradict",
  "prompt_repeated",
]);

/** What is found in rows of one answer alone: masks and labels are theirs. */
const ofOneAnswer: ReadonlySet<FindingCode> = new Set(["marked_bad", "fully_masked"]);

/** Codes that are found by looking at one row, a pair. */
const ofRows: readonly FindingCode[] = [
  ...describeFindings()
    .filter(({ about, code }) => about === "row" && !ofOneAnswer.has(code))
    .map(({ code }) => code),
  "truncated",
  "scores_contradict",
  "prompt_repeated",
];

function ofRow(code: FindingCode): FilterKind {
  const found = describeFindings().find((finding) => finding.code === code);
  return {
    code,
    words: found?.message ?? code,
    options: none,
    needsTokens: !ofText.has(code),
    open: ({ hasModel }) => {
      if (!hasModel && !ofText.has(code)) {
        throw new DataError(
          `filter ${code}: expected model_name_or_path, whose tokenizer says what the row's tokens are, got none. Name the model.`,
        );
      }
      return ({ codes }) => codes.get(code) ?? null;
    },
  };
}

const duplicateRow: FilterKind = {
  code: "duplicate_row",
  words: "prompt, answers, tools and template variables of an earlier row; with a model, its tokens",
  options: none,
  open: () => {
    const seen = new Map<string, string>();
    return ({ rowKey, origin }) => {
      if (rowKey === "") return null;
      const first = seen.get(rowKey);
      if (first === undefined) seen.set(rowKey, describeOrigin(origin));
      return first === undefined ? null : `as ${first}`;
    };
  },
};

const nearDuplicate: FilterKind = {
  code: "near_duplicate",
  words:
    "nearly the words of an earlier row with the same tools and template variables: `similarity` (0.8) of their runs of three words are common",
  options: z.strictObject({ similarity: z.number().positive().max(1).default(0.8) }),
  open: (_, { similarity }) => {
    const groups = new Map<string, { texts: NearTexts; kept: string[] }>();
    return ({ prompt, answers, inputs, origin }) => {
      if (answers.length === 0) return null;
      const group = groups.get(inputs) ?? { texts: new NearTexts(Number(similarity)), kept: [] };
      groups.set(inputs, group);
      const near = group.texts.add([prompt, ...answers].join("\n"));
      if (near === null) group.kept.push(describeOrigin(origin));
      return near === null ? null : `${near.similarity.toFixed(2)} of ${group.kept[near.of]}`;
    };
  },
};

const splitLeak: FilterKind = {
  code: "prompt_in_both_splits",
  words:
    "a prompt, with its tools and template variables, that is also in `eval_data`; with a model, its tokens",
  options: none,
  open: ({ heldOut }) => {
    if (heldOut === null)
      throw new DataError(
        "filter prompt_in_both_splits: expected eval_data, got none. Name the held-out rows.",
      );
    return ({ promptKey }) => (promptKey !== "" && heldOut.has(promptKey) ? "" : null);
  },
};

const promptColumns = [
  "prompt",
  "question",
  "instruction",
  "problem",
  "goal",
  "input",
  "turns",
  "text",
  "query",
];

const inBenchmark: FilterKind = {
  code: "in_benchmark",
  words:
    "a prompt that shares a run of `words` (13) words with a prompt of the benchmark `files`, or holds a shorter one whole",
  options: z.strictObject({
    files: z.array(z.string()).min(1),
    words: z.int().min(5).default(13),
  }),
  open: async (_, { files, words }) => {
    const runs = new WordRuns(Number(words));
    for (const path of files as string[]) {
      const prompts = { known: 0, short: 0 };
      for await (const row of readRows({ path }))
        for (const text of textsIn(row.value, describeOrigin(row.origin)))
          prompts[runs.add(text) ? "known" : "short"]++;
      sayShort(path, prompts);
    }
    return ({ prompt }) => runs.sharedBy(prompt);
  },
};

/** @throws {DataError} where no prompt is long enough to be looked for */
function sayShort(path: string, { known, short }: { known: number; short: number }): void {
  const words = "have fewer than five words, which say nothing of where a prompt is from";
  if (known === 0)
    throw new DataError(
      `${path}: expected prompts of five words or more, got none: all ${short} ${words}. Leave the file out of in_benchmark.`,
    );
  if (short > 0)
    warn(`${path}: ${short} of ${known + short} prompts ${words}: in_benchmark does not look for them.`);
}

function textsIn(value: Readonly<Record<string, unknown>>, where: string): string[] {
  const name = promptColumns.find((column) => column in value);
  const found = name === undefined ? [] : stringsIn(value[name]);
  if (found.length > 0) return found;
  throw new DataError(
    `${where}: expected a benchmark's row with one of the columns ${promptColumns.join(", ")}, got ${Object.keys(value).join(", ")}.`,
  );
}

function stringsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (Array.isArray(value)) return value.flatMap(stringsIn);
  if (typeof value !== "object" || value === null) return [];
  return "content" in value ? stringsIn(value.content) : [];
}

const lengthGap: FilterKind = {
  code: "length_gap",
  words: "one answer more than `ratio` (4) times as long as the other, and `characters` (200) longer",
  options: z.strictObject({
    ratio: z.number().min(1).default(4),
    characters: z.int().min(0).default(200),
  }),
  open:
    (_, { ratio, characters }) =>
    ({ answers: [chosen, rejected] }) => {
      if (chosen === undefined || rejected === undefined) return null;
      const [short, long] = [chosen.length, rejected.length].toSorted((a, b) => a - b);
      if (short === undefined || long === undefined) return null;
      const isFar = long > Number(ratio) * short && long - short > Number(characters);
      return isFar ? `${chosen.length} and ${rejected.length} characters` : null;
    },
};

const cutOff: FilterKind = {
  code: "cut_off",
  words: "an answer that stops in the middle of a sentence or of a block of code, as at a limit of tokens",
  options: none,
  open:
    () =>
    ({ answers }) => {
      const at = answers.findIndex(stopsShort);
      return at < 0 ? null : `the ${at === 0 ? "chosen" : "rejected"} answer`;
    },
};

/** Shorter answers ("yes", "42") need no full stop. */
const leastSentence = 8;

function stopsShort(answer: string): boolean {
  const text = answer.trimEnd();
  if (text.split("```").length % 2 === 0) return true;
  // most answers end well, and of those nothing more is looked at: these are the rows of a whole file
  if (!/[\p{L}\p{N},;:(–-]$/u.test(text.slice(-2))) return false;
  if (text.split(/\s+/).length < leastSentence) return false;
  const lastLine = text.slice(text.lastIndexOf("\n") + 1);
  return lastLine === text || !/^\s*([-*|]|\d+[.)])/.test(lastLine);
}

const scored = { scores: z.string(), least: z.number().optional(), most: z.number().optional() };

const margin: FilterKind = {
  code: "margin",
  words:
    "log-probability of the chosen answer less that of the rejected one below `least` or above `most`, by the file `scores` of `preftune score`",
  options: z.strictObject(scored),
  open: (_, options) =>
    byScores(options, (score) => difference(score["logps/chosen"], score["logps/rejected"])),
};

const surprise: FilterKind = {
  code: "surprise",
  words:
    "mean nats per token of the chosen answer below `least` or above `most`, by the file `scores` of `preftune score`",
  options: z.strictObject(scored),
  open: (_, options) =>
    byScores(options, (score) => {
      const [sum, tokens] = [numberOf(score["logps/chosen"]), numberOf(score["num_tokens/chosen"])];
      return sum === null || tokens === null || Number(tokens) === 0 ? null : -Number(sum) / Number(tokens);
    }),
};

function difference(one: unknown, other: unknown): number | null {
  const [a, b] = [numberOf(one), numberOf(other)];
  return a === null || b === null ? null : Number(a) - Number(b);
}

async function byScores(
  { scores, least, most }: Record<string, unknown>,
  readValue: (score: Readonly<Record<string, unknown>>) => number | null,
): Promise<Finder> {
  if (least === undefined && most === undefined)
    throw new DataError("filters margin and surprise: expected least or most, got neither.");
  const values = new Map<string, number>();
  for await (const { value } of readRows({ path: String(scores) })) {
    const found = readValue(value);
    if (found !== null) values.set(`${String(value["file"])}:${String(value["line"])}`, found);
  }
  return ({ origin, unusable }) => {
    if (unusable !== null) return null;
    const value = values.get(describeOrigin(origin));
    if (value === undefined) {
      throw new DataError(
        `${describeOrigin(origin)}: expected its score in ${String(scores)}, there is none. Score the same files: preftune score.`,
      );
    }
    const isOut =
      value < Number(least ?? Number.NEGATIVE_INFINITY) || value > Number(most ?? Number.POSITIVE_INFINITY);
    return isOut ? value.toFixed(3) : null;
  };
}

/** All filters, those of `data check` first. */
export const filterKinds: readonly FilterKind[] = [
  ...ofRows.map(ofRow),
  ...[duplicateRow, nearDuplicate, splitLeak, inBenchmark, lengthGap, cutOff, margin, surprise],
];

/** Filters that look at the text of one row and the digests of those before it: cheap enough for every row of a version. */
const quickCodes: ReadonlySet<string> = new Set([...ofText, "duplicate_row", "length_gap", "cut_off"]);

/** What the quick filters, with their usual options, find in a row, each by itself; gets the rows in their order. */
export async function quickFindings(): Promise<(row: CleanRow) => string[]> {
  const finders: { code: string; find: Finder }[] = [];
  for (const { code, options, open } of filterKinds.filter((kind) => quickCodes.has(kind.code)))
    finders.push({ code, find: await open({ heldOut: null, hasModel: false }, options.parse({})) });
  return (row) => finders.filter(({ find }) => find(row) !== null).map(({ code }) => code);
}
