/**
 * Ranges of the vocabulary by which ranks pass a head that is not tied to the embedding: its rows are gathered, and their gradient is
 * exchanged, a range at a time. The head of a small vocabulary is one range.
 */
import { weightsOfBlocks } from "./block-linears.ts";
import type { ModelConfig } from "./model-config.ts";

/** Rows [start, end) of a matrix. */
export interface RowRange {
  start: number;
  end: number;
}

/** Rows of a range are a multiple of it, the last one's apart: products of odd widths are slow. */
const multiple = 8;

/** The ranges, in order: as few of equal size as have no more numbers each than the largest block's matrices. */
export function headRanges(config: ModelConfig): RowRange[] {
  const { vocabSize, hiddenSize } = config;
  const count = Math.ceil((vocabSize * hiddenSize) / Math.max(...weightsOfBlocks(config)));
  const rows = multiple * Math.ceil(vocabSize / count / multiple);
  return Array.from({ length: Math.ceil(vocabSize / rows) }, (_, i) => ({
    start: i * rows,
    end: Math.min(vocabSize, (i + 1) * rows),
  }));
}
