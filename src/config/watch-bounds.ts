/** Which bounds of the collapse watch can be judged: those of sampled answers need sampled ones, those of given answers do not. */
import { methodOf } from "../methods/index.ts";
import type { Check } from "../methods/method.ts";
import { error, warning } from "./check.ts";
import type { RunConfig } from "./run-config.ts";
import { defaultThresholds, othersThanDefault, type WatchThresholds } from "./watch-keys.ts";

type Names = (keyof WatchThresholds)[];

/** Bounds on sampled answers. */
const ofSampled = ["repetition", "ended_properly", "distinct_2", "self_bleu", "malformed", "length"] as const;
/** Bounds on given answers, the held-out chosen ones. */
const ofGiven = ["chosen_down", "chosen_fall", "drift", "tail"] as const;

/** The defaults of bounds on sampled answers; the others are not judged. */
export const SAMPLED_THRESHOLDS: WatchThresholds = {
  ...defaultThresholds(),
  ...Object.fromEntries(ofGiven.map((name) => [name, null])),
};

/** Those of sampled answers with another value than the default: asked for, and nothing without sampled answers. */
function sampledBounds(thresholds: WatchThresholds): Names {
  return othersThanDefault(thresholds).filter((name) => ofSampled.some((one) => one === name));
}

/** `thresholds` of which sampled answers are judged by those alone that have another value than the default. */
export function withoutSampledDefaults(thresholds: WatchThresholds): WatchThresholds {
  const kept = sampledBounds(thresholds);
  const judged = (name: (typeof ofSampled)[number]) => (kept.includes(name) ? thresholds[name] : null);
  return { ...thresholds, ...Object.fromEntries(ofSampled.map((name) => [name, judged(name)])) };
}

/** Those of given answers that are asked for. */
export function boundsOnGiven(thresholds: WatchThresholds): Names {
  return othersThanDefault(thresholds).filter((name) => ofGiven.some((one) => one === name));
}

/** Whether a bound on given answers is judged. */
export function judgesGiven({ method, watch_thresholds }: RunConfig): boolean {
  const isBounded = ofGiven.some((name) => watch_thresholds[name] !== null);
  return methodOf(method.objective).over !== "scores" && isBounded;
}

/** Whether all that is asked for is of sampled answers, which a model that gives scores has alone. */
export function asksOnlySampled({ method, watch_thresholds }: RunConfig): boolean {
  if (methodOf(method.objective).over === "scores") return true;
  return sampledBounds(watch_thresholds).length > 0 && boundsOnGiven(watch_thresholds).length === 0;
}

/** Bounds that nothing would be judged by. */
export const BOUND_CHECKS: readonly Check<RunConfig>[] = [
  error(
    "watch_thresholds",
    ({ watch_prompts, watch_thresholds }) =>
      watch_prompts === null && sampledBounds(watch_thresholds).length > 0,
    ({ watch_thresholds }) =>
      `${sampledBounds(watch_thresholds).join(", ")}: of sampled answers, and watch_prompts is null, so none are. Say in watch_prompts what is answered, or take it out.`,
  ),
  warning(
    "watch_thresholds",
    ({ watch_prompts, watch_thresholds, eval_on_start }) =>
      watch_prompts === null && !eval_on_start && boundsOnGiven(watch_thresholds).length > 0,
    ({ watch_thresholds }) =>
      `${boundsOnGiven(watch_thresholds).join(", ")}: of changes since the first evaluation, and eval_on_start is false: what training does before it is never judged. Leave eval_on_start out.`,
  ),
];
