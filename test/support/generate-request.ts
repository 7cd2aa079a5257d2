/** A request for an answer, with nothing asked for but what a test changes. */
import type { GenerateRequest } from "../../src/generate/request.ts";

/** Eight tokens at temperature 1 after the prompt [3, 1, 4], with `changes`. */
export function generateRequest(changes: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    promptIds: [3, 1, 4],
    n: 1,
    maxNewTokens: 8,
    temperature: 1,
    topK: null,
    topP: null,
    minP: null,
    repetitionPenalty: null,
    stopIds: new Set(),
    stop: [],
    seed: 5,
    logprobs: null,
    adapter: null,
    ...changes,
  };
}
