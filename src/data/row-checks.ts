/** Checks of one tokenised row: the faults that would spoil training without anything failing. */
import type { Completion, Example, Trace } from "./example.ts";
import type { FindingCode, RowFault } from "./findings.ts";

/** What the checks need to know about the tokenizer and its chat template. */
export interface TokenizerFacts {
  /** Rows of the model's embedding: ids are below it. */
  vocabSize: number;
  /** The token every row begins with; null when the tokenizer has none. */
  bosTokenId: number | null;
  /** The tokens that can end an answer (end of turn, EOS). */
  stopIds: ReadonlySet<number>;
  /** Whether there is a chat template, the tokenizer's own or another one that was given. Default: no. */
  hasChatTemplate?: boolean;
}

/** The errors in `example`'s tokens; `invalid_rows: drop` leaves out rows that have any. */
export function rowFaults(example: Example, facts: TokenizerFacts): RowFault[] {
  const { promptIds, completions, trace } = example;
  const faults: RowFault[] = [];
  if (promptIds.length === 0) faults.push("empty_prompt");
  if (completions.some((completion) => saysNothing(completion, facts))) faults.push("empty_answer");
  if (startsTwice(promptIds, facts.bosTokenId)) faults.push("bos_repeated");
  if (!(trace?.isPretokenised ?? false) && lacksEnd(example, facts)) faults.push("end_missing");
  if (completions.some(({ ids }) => endsTwice(ids, facts))) faults.push("end_repeated");
  if (completions.some(({ ids, mask }) => ids.length > 0 && isMasked(mask))) faults.push("fully_masked");
  if (isIdenticalPair(completions)) faults.push("identical_pair");
  if ([promptIds, ...completions.map(({ ids }) => ids)].some((ids) => isOutside(ids, facts.vocabSize))) {
    faults.push("id_out_of_range");
  }
  if (isCut(trace) && example.referenceLogps !== undefined) faults.push("reference_of_cut_row");
  return faults;
}

/** What deserves a mention in `example` but stops nothing: what the encoder noted, and cuts. */
export function rowWarnings(example: Example, facts: TokenizerFacts): FindingCode[] {
  const { trace } = example;
  if (trace === undefined) return [];
  const warnings = [...(trace.notes ?? [])] as FindingCode[];
  if ((trace.boundaryMoved ?? 0) > 0 && !warnings.includes("boundary_moved")) warnings.push("boundary_moved");
  if (isCut(trace)) warnings.push("truncated");
  // Ids made elsewhere may follow another convention, knowingly.
  if ((trace.isPretokenised ?? false) && lacksEnd(example, facts)) warnings.push("end_missing");
  return warnings;
}

/** True when the row begins with the BOS token. Always true where there is none to begin with. */
export function hasBos(example: Example, { bosTokenId }: TokenizerFacts): boolean {
  return bosTokenId === null || example.promptIds[0] === bosTokenId;
}

function isCut(trace: Trace | undefined): boolean {
  return (trace?.promptTokensCut ?? 0) + (trace?.answerTokensCut ?? 0) > 0;
}

/** No token, or tokens that end an answer and no other. */
function saysNothing({ ids, mask }: Completion, { stopIds }: TokenizerFacts): boolean {
  const learned = mask === undefined ? ids : ids.filter((_, i) => mask[i] !== 0);
  const isMaskedOut = ids.length > 0 && learned.length === 0;
  return !isMaskedOut && learned.every((id) => stopIds.has(id));
}

function startsTwice(ids: readonly number[], bosTokenId: number | null): boolean {
  return bosTokenId !== null && ids[0] === bosTokenId && ids[1] === bosTokenId;
}

function lacksEnd({ completions, trace }: Example, { stopIds }: TokenizerFacts): boolean {
  const lacking = completions.filter(({ ids }) => ids.length > 0 && !stopIds.has(ids.at(-1) ?? -1));
  // Answers that lost their end to max_length are counted as truncated.
  return lacking.length > (trace?.endsLost ?? 0);
}

function endsTwice(ids: readonly number[], { stopIds }: TokenizerFacts): boolean {
  return [-1, -2].every((at) => stopIds.has(ids.at(at) ?? -1));
}

function isMasked(mask: Completion["mask"]): boolean {
  return mask?.every((bit) => bit === 0) ?? false;
}

function isIdenticalPair(completions: readonly Completion[]): boolean {
  const [chosen, rejected] = completions;
  if (chosen === undefined || rejected === undefined || chosen.ids.length !== rejected.ids.length)
    return false;
  return chosen.ids.every((id, i) => id === rejected.ids[i]);
}

function isOutside(ids: readonly number[], vocabSize: number): boolean {
  return ids.some((id) => id < 0 || id >= vocabSize);
}
