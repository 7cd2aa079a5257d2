/** What stops a run because of a reward function. */
import { TrainingError } from "../base/errors.ts";

/** A reward function cannot be loaded, answers what is no list of rewards, or fails too often. */
export class RewardError extends TrainingError {}
