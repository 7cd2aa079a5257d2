/**
 * A batch as one stream of segments, never a padded rectangle.
 *
 * A prompt is one segment and each answer another whose parent it is: a segment attends to itself causally and to its
 * parent in full, and its positions continue its parent's. So a prompt is computed once for all its answers.
 */
import { at } from "../base/at.ts";
import { DataError } from "../base/errors.ts";
import { type Completion, describeOrigin, type Example } from "./example.ts";
import { tokensKeyOf } from "./fingerprint.ts";

/** A run of tokens [start, end) of the stream that attends to itself causally and to its parent in full. */
export interface Segment {
  start: number;
  end: number;
  /** Index of the segment it continues, or -1. */
  parent: number;
}

/** Tokens [start, end) of the stream that are one example's prompt or one of its answers, whichever segment they lie in. */
export interface StreamPiece {
  start: number;
  end: number;
  /** Index into the batch's `examples`. */
  example: number;
  /** Index into that example's `completions`; -1: the prompt, or a copy of it. */
  completion: number;
}

/** The response tokens [start, end) of one answer, as a range of `predictors` and `targets`. */
export interface ResponseSpan {
  /** Index into the batch's `examples`. */
  example: number;
  /** Index into that example's `completions`. */
  completion: number;
  start: number;
  end: number;
}

/** A micro-batch. T input tokens, R response tokens that count in the loss. */
export interface PackedBatch {
  /** (T) token ids. The last token of an answer is among them only where answers are scored: nothing is predicted from it. */
  ids: Int32Array;
  /** (T) position of each token in its sequence, from 0. */
  positions: Int32Array;
  /** In the order of the stream; together they cover it. */
  segments: Segment[];
  /** Whose tokens they are, in the order of the stream; together they cover it. */
  pieces: StreamPiece[];
  /**
   * (R) index in the stream of the hidden state that predicts each response token. Where answers are scored, R is the number of
   * answers, and the state is that of the answer's last token.
   */
  predictors: Int32Array;
  /** (R) ids of the response tokens; where answers are scored, of their last tokens. */
  targets: Int32Array;
  /** One for each answer, in order; together they cover `targets`, but for the rows of prompts. */
  spans: ResponseSpan[];
  /** How many rows follow those of the spans: the tokens of the prompts but the first of each, where prompts are predicted too. */
  promptRows: number;
  examples: readonly Example[];
}

/** How to lay out answers. */
export interface PackingOptions {
  /** False: every answer is a separate segment with the prompt in front, parent -1. Default true. */
  share_prompt?: boolean;
  /** True: answers are scored as a whole, from the state of their last token, masks aside. Default false. */
  scores?: boolean;
  /** True: the tokens of each prompt but its first are predicted too, once. Default false. */
  prompts?: boolean;
  /** True: examples of one prompt share it, not only the answers of one example. Default false. */
  joins?: boolean;
}

/** Input tokens that `example` takes up in a stream: the prompt, and each answer, without its last token unless answers are scored. */
export function packedTokens(example: Example, options: PackingOptions = {}): number {
  const { share_prompt = true, scores = false } = options;
  const prompts = share_prompt ? 1 : example.completions.length;
  let tokens = example.promptIds.length * prompts;
  for (const { ids } of example.completions) tokens += scores ? ids.length : Math.max(0, ids.length - 1);
  return tokens;
}

/**
 * `examples` as one stream.
 *
 * @throws DataError when a prompt or an answer has no token, or a mask another length than its answer
 */
export function packExamples(examples: readonly Example[], options: PackingOptions = {}): PackedBatch {
  const { share_prompt = true, scores = false, prompts = false, joins = false } = options;
  examples.forEach(checkExample);
  const shared = share_prompt && joins ? firstOfPrompts(examples) : examples.map((_, index) => index);
  const tokens = examples.reduce((sum, example, index) => {
    const own = packedTokens(example, { share_prompt, scores });
    return sum + own - (shared[index] === index ? 0 : example.promptIds.length);
  }, 0);
  const responses = examples
    .flatMap((example) => example.completions)
    .reduce((sum, c) => sum + (scores ? 1 : countedTokens(c)), 0);
  const promptRows = prompts ? examples.reduce((sum, { promptIds }) => sum + promptIds.length - 1, 0) : 0;
  const stream = new Stream(tokens, responses + promptRows, scores);
  for (const [index, example] of examples.entries()) {
    if (share_prompt) stream.addShared(example, index, at(shared, index));
    else stream.addSeparate(example, index);
  }
  if (prompts) stream.addPromptRows();
  return { ...stream.batch(), promptRows, examples };
}

/** Index of the first of `examples` with the same prompt, for each. */
export function firstOfPrompts(examples: readonly Example[]): number[] {
  const first = new Map<string, number>();
  return examples.map(({ promptIds }, index) => {
    const key = tokensKeyOf(promptIds);
    const known = first.get(key) ?? index;
    first.set(key, known);
    return known;
  });
}

/** A piece's tokens, before it has a place in the stream. */
interface PieceTokens extends Pick<StreamPiece, "example" | "completion"> {
  ids: readonly number[];
}

/** Fills the arrays of a batch from left to right. */
class Stream {
  readonly #ids: Int32Array;
  readonly #positions: Int32Array;
  readonly #predictors: Int32Array;
  readonly #targets: Int32Array;
  readonly #segments: Segment[] = [];
  readonly #pieces: StreamPiece[] = [];
  readonly #spans: ResponseSpan[] = [];
  /** Where each example's prompt is, the first copy of it, and its segment. */
  readonly #prompts: { start: number; ids: readonly number[]; segment: number }[] = [];
  readonly #scores: boolean;
  #tokens = 0;
  #responses = 0;

  constructor(tokens: number, responses: number, scores: boolean) {
    this.#scores = scores;
    this.#ids = new Int32Array(tokens);
    this.#positions = new Int32Array(tokens);
    this.#predictors = new Int32Array(responses);
    this.#targets = new Int32Array(responses);
  }

  /** @param first - the example, this one or one before it, that has brought the prompt */
  addShared({ promptIds, completions }: Example, example: number, first: number): void {
    if (first === example) {
      const start = this.#tokens;
      const segment = this.#addSegment([{ ids: promptIds, example, completion: -1 }], 0, -1);
      this.#prompts.push({ start, ids: promptIds, segment });
    } else this.#prompts.push(at(this.#prompts, first));
    const { start, segment: parent } = at(this.#prompts, example);
    const promptEnd = start + promptIds.length;
    for (const [completion, { ids, mask }] of completions.entries()) {
      const start = this.#tokens;
      // A single token has no inputs: an empty segment would be work for nothing.
      const answer = { ids: this.#inputsOf(ids), example, completion };
      if (answer.ids.length > 0) this.#addSegment([answer], promptIds.length, parent);
      this.#addResponses({ example, completion }, { ids, mask }, { first: promptEnd - 1, second: start });
    }
  }

  addSeparate({ promptIds, completions }: Example, example: number): void {
    for (const [completion, { ids, mask }] of completions.entries()) {
      if (completion === 0) this.#prompts.push({ start: this.#tokens, ids: promptIds, segment: -1 });
      const first = this.#tokens + promptIds.length - 1;
      const prompt = { ids: promptIds, example, completion: -1 };
      this.#addSegment([prompt, { ids: this.#inputsOf(ids), example, completion }], 0, -1);
      this.#addResponses({ example, completion }, { ids, mask }, { first, second: first + 1 });
    }
  }

  /** Behind the rows of all answers, those of the prompts' tokens. */
  addPromptRows(): void {
    for (const { start, ids } of this.#prompts) {
      for (const [i, id] of ids.slice(1).entries()) {
        this.#predictors[this.#responses] = start + i;
        this.#targets[this.#responses++] = id;
      }
    }
  }

  batch(): Omit<PackedBatch, "examples" | "promptRows"> {
    return {
      ids: this.#ids,
      positions: this.#positions,
      segments: this.#segments,
      pieces: this.#pieces,
      predictors: this.#predictors,
      targets: this.#targets,
      spans: this.#spans,
    };
  }

  /** The tokens of an answer from which something is read. */
  #inputsOf(ids: readonly number[]): readonly number[] {
    return this.#scores ? ids : ids.slice(0, -1);
  }

  /** Index of the new segment. */
  #addSegment(parts: readonly PieceTokens[], position: number, parent: number): number {
    const start = this.#tokens;
    for (const { ids, example, completion } of parts) {
      this.#ids.set(ids, this.#tokens);
      const first = this.#tokens;
      this.#tokens += ids.length;
      if (ids.length > 0) this.#pieces.push({ start: first, end: this.#tokens, example, completion });
    }
    for (let i = start; i < this.#tokens; i++) this.#positions[i] = position + i - start;
    return this.#segments.push({ start, end: this.#tokens, parent }) - 1;
  }

  /** `place`: where in the stream the first and the second token of the answer are predicted; the others follow on. */
  #addResponses(
    owner: Pick<ResponseSpan, "example" | "completion">,
    { ids, mask }: { ids: readonly number[]; mask: readonly number[] | undefined },
    place: { first: number; second: number },
  ): void {
    const start = this.#responses;
    // a score is read where the token after the answer would be predicted
    const rows = this.#scores ? [ids.length] : ids.keys();
    for (const r of rows) {
      if (!this.#scores && mask !== undefined && mask[r] === 0) continue;
      this.#predictors[this.#responses] = r === 0 ? place.first : place.second + r - 1;
      this.#targets[this.#responses] = ids[Math.min(r, ids.length - 1)] as number;
      this.#responses++;
    }
    this.#spans.push({ ...owner, start, end: this.#responses });
  }
}

/** Tokens of an answer that count in the loss. */
export function countedTokens({ ids, mask }: Completion): number {
  if (mask === undefined) return ids.length;
  return mask.reduce((sum, bit) => sum + (bit === 0 ? 0 : 1), 0);
}

function checkExample({ origin, promptIds, completions }: Example): void {
  if (promptIds.length === 0) {
    throw new DataError(
      `${describeOrigin(origin)}: expected a prompt of at least one token, got none. ` +
        `The first token of an answer is predicted from it: give the row a prompt.`,
    );
  }
  for (const { ids, mask } of completions) {
    if (ids.length === 0) {
      throw new DataError(
        `${describeOrigin(origin)}: expected answers of at least one token. Remove the row.`,
      );
    }
    if (mask === undefined || mask.length === ids.length) continue;
    throw new DataError(
      `${describeOrigin(origin)}: expected a mask of ${ids.length} numbers, one for each token of the answer, ` +
        `got ${mask.length}.`,
    );
  }
}
