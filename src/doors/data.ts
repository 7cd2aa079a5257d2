/**
 * `preftune/data`: preference and SFT rows read from files or the hub, understood, tokenised and checked. Needs no libtorch.
 *
 * @example
 *   import { loadTokenizer, readRows } from "preftune/data";
 *   for await (const { origin, value } of readRows({ path: "pairs.jsonl" })) console.log(origin.line, Object.keys(value));
 *   console.log(loadTokenizer("models/SmolLM2-135M-Instruct").encode("a text"));
 */
import "../base/node-version.ts";

export { type ColumnMap, type ColumnName, checkColumnMap } from "../data/columns.ts";
export { type Dataset, type DatasetOptions, prepareDataset } from "../data/dataset.ts";
export { encodeRows, type RowProblem } from "../data/encoder.ts";
export type { Completion, Example, Origin, RawRow } from "../data/example.ts";
export { promptKeyOf } from "../data/fingerprint.ts";
export type { WeightedSource } from "../data/mixing.ts";
export { type PackedBatch, type PackingOptions, packExamples } from "../data/packing.ts";
export { assertPreflight, type PreflightReport } from "../data/preflight.ts";
export { formatPreflight } from "../data/preflight-text.ts";
export { type NormalRow, normaliseRow, type RowOptions, type Task } from "../data/rows.ts";
export { type DataSource, readRows } from "../data/sources.ts";
export { createRowEncoder, type EncoderOptions, type RowEncoder } from "../text/encode.ts";
export type { Message } from "../text/messages.ts";
export { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
export { type DataSelection, type PreparedData, prepareData } from "../train/prepare-data.ts";
