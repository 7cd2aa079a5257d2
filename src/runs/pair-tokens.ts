/**
 * `pair-tokens.json`: the tokens of some held-out pairs with their log-probs at the run's first evaluation and at its last one, for people
 * to look at. Written again at every evaluation.
 */
import { existsSync } from "node:fs";
import { remove, writeFileAtomic } from "../base/files.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { readSealed, sealed } from "../base/sealed.ts";

/** The tokens of one answer that count in the loss: their texts, and their log-probs in nats. */
export interface AnswerTokens {
  texts: readonly string[];
  before: readonly number[];
  now: readonly number[];
}

/** The tokens of both answers of a pair. */
export interface TokensOfPair {
  chosen: AnswerTokens;
  rejected: AnswerTokens;
}

/** What the file holds. */
export interface PairTokens {
  /** Steps of the first evaluation and of the last one. */
  start: number;
  step: number;
  /** By the key of the row. */
  pairs: Readonly<Record<string, TokensOfPair>>;
}

/** Replaces the file. @throws {FileError} when it cannot be written */
export function writePairTokens(path: string, tokens: PairTokens): void {
  writeFileAtomic(path, sealed(stringifyNumbers(tokens)));
}

/** What is in the file; null where there is none, or it cannot be read: it is nothing that the run depends on. */
export function readPairTokens(path: string): PairTokens | null {
  if (!existsSync(path)) return null;
  try {
    const { start, step, pairs } = readSealed(path, parseNumbers) as unknown as PairTokens;
    const isWhole = typeof start === "number" && typeof step === "number" && typeof pairs === "object";
    return isWhole && pairs !== null ? { start, step, pairs } : null;
  } catch {
    return null;
  }
}

/**
 * Takes back a file of an evaluation after `step`.
 *
 * @param copy - the file as it was at `step`; null: there was none
 */
export function cutPairTokens(path: string, step: number, copy: string | null): void {
  const kept = readPairTokens(path);
  if (!existsSync(path) || (kept !== null && kept.step <= step)) return;
  if (copy === null) remove(path);
  else writeFileAtomic(path, copy);
}
