/** A run's results on held-out rows as a model card has them: each number as in metrics.jsonl, with its 95 % interval where it has one. */
import { metricInfo } from "../config/metric-names.ts";
import { methodOf } from "../methods/index.ts";
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { isEvalRow } from "../runs/metrics.ts";
import type { RunView } from "../runs/run-directory.ts";
import { readScales } from "../runs/scale-record.ts";
import { shareInterval } from "../stats/bootstrap.ts";
import { comparableSince, exportedStep } from "./best-evaluation.ts";
import { displacementNote } from "./displacement-section.ts";
import { dataOf, exportedScale, heldOutDraws, lengthOnly } from "./facts-section.ts";
import { pairInterval } from "./pair-interval.ts";
import { choiceText, SCALE_COLUMNS } from "./scales-section.ts";

/** What a card shows, in its order, with the words for it; of a run those that it has. */
const shown: readonly [key: string, words: string][] = [
  ["eval_logps/accuracies", "accuracy: the chosen completion has the higher log-prob per token"],
  ["eval_accuracy", "accuracy: the chosen completion has the higher reward"],
  ["eval_rewards/accuracies", "accuracy by the objective's own reward"],
  ["eval_rewards/margins", "margin of the objective's own rewards"],
  ["eval_logps/chosen_delta_init", "chosen completions: change of log-prob per token since the start"],
  ["eval_logps/rejected_delta_init", "rejected completions: the same"],
  ["eval_displacement/frac_chosen_down", "rows whose chosen completion became less likely"],
  ["eval_displacement/frac_both_down", "pairs of which both became less likely"],
  ["eval_reward", "mean reward of sampled completions"],
  ["eval_gold", "mean of the reward functions that training did not see"],
  ["eval_kl_init", "KL to the start, per completion"],
  ["eval_loss", "loss"],
  ["eval_samples/self_bleu", "self-BLEU of sampled completions"],
  ["eval_samples/distinct_2", "distinct pairs of tokens in sampled completions"],
  ["eval_samples/repetition", "repetition in sampled completions"],
  ["eval_samples/ended_properly", "sampled completions that ended by themselves"],
];

/** Metrics that are fractions of the held-out pairs: Wilson's interval holds for them. */
const sharesOfPairs: ReadonlySet<string> = new Set([
  "eval_logps/accuracies",
  "eval_accuracy",
  "eval_rewards/accuracies",
  "eval_displacement/frac_chosen_down",
  "eval_displacement/frac_both_down",
]);

/** The section; of a run without held-out rows that there are none. */
export function cardResults(run: RunView): string {
  const step = exportedStep(run);
  const isHeld = ({ global_step: at }: { global_step: number }): boolean => at <= step;
  const rows = run.metrics.filter(isEvalRow);
  const [first, last] = [rows[0], rows.findLast(isHeld)];
  if (first === undefined || last === undefined)
    return "## Results\n\nThere are no held-out rows: nothing was measured.";
  const held = dataOf(run.preflight)?.evaluation?.rows ?? 0;
  const record = run.evaluations.findLast((one) => one.global_step === last.global_step) ?? null;
  const pairs = heldOutDraws(run, record);
  const isLabelled = methodOf(run.config.method.objective).over === "labelled";
  const lines = shown.flatMap(([key, words]) => {
    const [before, after] = [first[key], last[key]];
    if (typeof after !== "number") return [];
    const isSame = first.global_step >= comparableSince(run.evaluations.filter(isHeld), key);
    const start = typeof before === "number" && first !== last && isSame ? String(before) : "–";
    const unit = metricInfo(key)?.unit ?? "";
    // of labelled rows this one is over the good answers, not over pairs
    const isOfAnswers = isLabelled && key === "eval_displacement/frac_chosen_down";
    const interval = isOfAnswers ? "–" : intervalOf(key, after, pairs, record);
    return [`| ${words} (\`${key}\`${unit === "" ? "" : `, ${unit}`}) | ${start} | ${after} | ${interval} |`];
  });
  const at =
    last.global_step === step
      ? `step ${step}, which these files hold`
      : `step ${last.global_step}, the last evaluation before step ${step}, which these files hold`;
  const notes = [
    scaleNote(run),
    baseline(run),
    displacementNote(run.metrics.filter(isHeld), run.evaluations.filter(isHeld)),
  ];
  return `## Results on held-out rows

${held} rows; start: step ${first.global_step}; end: ${at}.

| | start | end | 95 % interval |
| --- | --- | --- | --- |
${lines.join("\n")}

${notes.filter((note) => note !== null).join("\n\n")}`.trimEnd();
}

/** Of which part of the training the files are, whose figures are not those of the table; null where they hold the whole. */
function scaleNote(run: RunView): string | null {
  const scale = exportedScale(run);
  if (scale === null) return null;
  const { choice = null, rows = [] } = readScales(run.paths.dir) ?? {};
  const of = scale === 1 ? "" : `The table is of the whole training; these files take ${scale} of it. `;
  // `preftune scale` may have looked for another one since, and measured this one again
  if (choice?.scale === scale) return `${of}${choiceText(choice)}`;
  const row = rows.find((one) => one.scale === scale);
  if (row === undefined) return `${of}Their own figures are not in the run.`;
  const figures = SCALE_COLUMNS.flatMap(([name, value, show]) => {
    const figure = value(row);
    return figure === undefined ? [] : [`${name} ${show(figure)}`];
  });
  return `${of}Their own figures on the held-out pairs: ${figures.join(", ")}.`;
}

function intervalOf(key: string, value: number, pairs: number, record: EvaluationRecord | null): string {
  if (sharesOfPairs.has(key) && pairs > 0) {
    const { low, high } = shareInterval(value * pairs, pairs);
    return `${low.toFixed(4)} to ${high.toFixed(4)}`;
  }
  const side = ["eval_logps/chosen_delta_init", "eval_logps/rejected_delta_init"].indexOf(key);
  if (side < 0 || record === null || record.pair_changes.length < 2) return "–";
  const { low, high, over } = pairInterval(record, (pair) => pair[side] ?? Number.NaN);
  return Number.isNaN(low) ? "–" : `${low.toFixed(4)} to ${high.toFixed(4)}, over ${over}`;
}

/** What length alone gets right, beside which accuracies are to be read; null where it was not measured. */
function baseline({ preflight }: RunView): string | null {
  const bias = lengthOnly(preflight);
  if (bias === null) return null;
  const { predictor, heldOutAccuracy: accuracy, measuredPairs: pairs, isOnEvaluation } = bias;
  const { low, high } = shareInterval(accuracy * pairs, pairs);
  return `Length baseline: choosing the ${predictor} completion is right for ${accuracy} of ${pairs} ${isOnEvaluation ? "held-out" : "training"} pairs (95 % interval ${low.toFixed(4)} to ${high.toFixed(4)}). An accuracy says something only above that.`;
}
