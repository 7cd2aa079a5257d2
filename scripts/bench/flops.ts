/**
 * Floating-point operations that a step on preference pairs needs: each prompt once, the head on answer tokens only,
 * nothing padded and nothing computed twice. What a trainer really does may be more; it is measured against this.
 */

/** The sizes of a decoder with gated feed-forward layers and grouped queries. */
export interface ModelShape {
  layers: number;
  width: number;
  intermediate: number;
  heads: number;
  keyValueHeads: number;
  headWidth: number;
  vocabulary: number;
}

/** Token counts of one pair. */
export interface PairLengths {
  prompt: number;
  chosen: number;
  rejected: number;
}

/** [inputs, outputs] of the seven linears of a layer. */
function linears(shape: ModelShape): [number, number][] {
  const queries = shape.heads * shape.headWidth;
  const keys = shape.keyValueHeads * shape.headWidth;
  return [
    [shape.width, queries],
    [shape.width, keys],
    [shape.width, keys],
    [queries, shape.width],
    [shape.width, shape.intermediate],
    [shape.width, shape.intermediate],
    [shape.intermediate, shape.width],
  ];
}

/** Weights of all layers' linears; the head and the embedding are not among them. */
export function linearWeights(shape: ModelShape): number {
  return shape.layers * linears(shape).reduce((sum, [inputs, outputs]) => sum + inputs * outputs, 0);
}

/** Weights of LoRA adapters of `rank` on all linears. */
export function adapterWeights(shape: ModelShape, rank: number): number {
  return shape.layers * linears(shape).reduce((sum, [inputs, outputs]) => sum + rank * (inputs + outputs), 0);
}

/** Tokens that go through the layers: nothing is predicted from an answer's last token. */
export function streamTokens({ prompt, chosen, rejected }: PairLengths): number {
  return prompt + chosen - 1 + rejected - 1;
}

/** (query, key) combinations that causal attention has to look at, the prompt's once. */
export function attendedPairs({ prompt, chosen, rejected }: PairLengths): number {
  const own = (n: number) => (n * (n + 1)) / 2;
  const answer = (n: number) => own(n) + n * prompt;
  return own(prompt) + answer(chosen - 1) + answer(rejected - 1);
}

/**
 * FLOPs of one pair, forward and back.
 *
 * A trained weight costs 6 a token (2 forward, 2 for its gradient, 2 for its input's), a frozen one 4. Attention costs
 * 4·H·E a (query, key) forward and twice that back. `rank` 0 trains everything, the tied head as well.
 */
export function pairFlops(shape: ModelShape, pair: PairLengths, rank: number): number {
  const perWeight = rank === 0 ? 6 : 4;
  const tokens = streamTokens(pair);
  const body = perWeight * linearWeights(shape) * tokens;
  const adapters = 6 * adapterWeights(shape, rank) * tokens;
  const head = perWeight * shape.vocabulary * shape.width * (pair.chosen + pair.rejected);
  const attention = 12 * shape.heads * shape.headWidth * shape.layers * attendedPairs(pair);
  return body + adapters + head + attention;
}
