/** By how much other text has changed under what a run exported: not under what it was at another step or scale. */
import { shellWord } from "../base/shell-word.ts";
import type { RunView } from "../runs/run-directory.ts";
import { readScales, scalePath } from "../runs/scale-record.ts";
import { exportedStep } from "./best-evaluation.ts";
import { exportedScale } from "./facts-section.ts";

/** The change of its mean log-prob since the start, nats per token; NaN where that is not known, and then why. */
export interface ExportedOtherText {
  otherText: number;
  /** Why there is no figure, and what to do; null: there is one. */
  otherTextLack: string | null;
}

const key = "displacement/other_text_change";

/** At the scale that the run exported, or at the evaluation of the weights that it exported. */
export function exportedOtherText(run: RunView): ExportedOtherText {
  const scale = exportedScale(run) ?? 1;
  return scale === 1 ? atStep(run, exportedStep(run)) : atScale(run, scale);
}

function atScale({ paths: { dir } }: RunView, scale: number): ExportedOtherText {
  const record = readScales(dir);
  const row = record?.rows.find((one) => one.scale === scale);
  const path = scalePath(dir);
  const again = `Measure it: preftune scale ${shellWord(dir)} --scales ${scale}`;
  if (record === null) return lacking(`${path} is gone, and ${scale} of the training was exported. ${again}`);
  if (row === undefined) {
    const measured = record.rows.map((one) => one.scale).join(", ");
    return lacking(`${path} was written again, at scales ${measured}, and ${scale} was exported. ${again}`);
  }
  return known(row.figures[key], `${path} has no other text at scale ${scale}. ${again}`);
}

function atStep({ metrics, evaluations }: RunView, step: number): ExportedOtherText {
  const since = evaluations.find(({ global_step: at }) => at === step)?.other_text_start ?? 0;
  if (since > 0) {
    return lacking(
      `at step ${step}, whose weights were exported, it is measured from step ${since} on, not from the start. Measure the start (eval_on_start), and keep drift_data on resume`,
    );
  }
  const row = metrics.findLast((one) => one.global_step === step && typeof one[`eval_${key}`] === "number");
  return known(
    row?.[`eval_${key}`],
    `no evaluation measured it at step ${step}, whose weights were exported. Evaluate there: eval_strategy steps or epoch`,
  );
}

function known(value: unknown, lack: string): ExportedOtherText {
  if (typeof value !== "number") return lacking(lack);
  return Number.isFinite(value)
    ? { otherText: value, otherTextLack: null }
    : lacking("its log-probs are no finite numbers");
}

function lacking(why: string): ExportedOtherText {
  return { otherText: Number.NaN, otherTextLack: why };
}
