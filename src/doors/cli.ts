/** `preftune/cli`: what commands of `preftune` share, for one that a workspace of the checkout adds. */
import "../base/node-version.ts";

export { recordedCommand } from "../cli/called-as.ts";
export { type GridPart, showOutcome, stoppable } from "../cli/grid-command.ts";
export { type JudgeEndpointOptions, judgeOf, withJudge } from "../cli/judge-options.ts";
export { collect, type StoppedOptions, wholeNumber, withStoppedStatus } from "../cli/options.ts";
export { pairsOf } from "../cli/overrides.ts";
export { Phases } from "../terminal/phases.ts";
