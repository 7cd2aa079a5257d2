/** A decoder that gives one number for a text: transformers' `…ForSequenceClassification` with one label. */
import type { DenseProjection } from "../nn/module.ts";
import { Decoder, type DecoderParts } from "./causal-lm.ts";

/** A reward model. Its score of a prompt with a completion is w · h, h the state of the completion's last token. */
export class RewardModel extends Decoder {
  /** (1, D), without bias. */
  score: DenseProjection;

  constructor(parts: DecoderParts, score: DenseProjection) {
    super(parts);
    this.score = score;
  }

  get head(): object {
    return this.score;
  }
}
