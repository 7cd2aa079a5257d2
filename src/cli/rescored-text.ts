/** What a check of exported files compared, in words. */
import type { LogpDifference } from "../runs/train-events.ts";

/** "re-scored 900 tokens, largest difference 1e-5 nats"; of a reward model its rewards. */
export function rescoredText({ tokens, of }: LogpDifference, largest: string): string {
  return of === "rewards"
    ? `re-scored ${tokens} answers, largest difference of a reward ${largest}`
    : `re-scored ${tokens} tokens, largest difference ${largest} nats`;
}
