/** The sections of a report on the export and on the data check, from their files in the run. */
import { formatNumber } from "../base/number-text.ts";
import type { LengthBias, TokenStatistics } from "../data/statistics.ts";
import { methodOf } from "../methods/index.ts";
import { type EvaluationRecord, mostPairs } from "../runs/evaluation-records.ts";
import { parityText } from "../runs/parity-text.ts";
import type { RunView } from "../runs/run-directory.ts";
import type { ParityResult } from "../runs/train-events.ts";
import { factsHtml, type Html, html, type ReportTable, tableHtml } from "./html.ts";
import type { ShortenPaths } from "./shared-text.ts";

/** What of `preflight.json` is shown. */
export interface Checked {
  findings: {
    severity: string;
    code: string;
    count: number;
    rows: string[];
    message: string;
    remedy: string;
  }[];
  counts: Record<string, unknown>;
  train?: Lengths;
  evaluation?: Lengths | null;
  lengthBias?: LengthBias | null;
}

type Lengths = Pick<TokenStatistics, "rows" | "prompt" | "chosen" | "rejected">;

/** The export's section: a sentence for each part; nothing where there is none. */
export function exportSection(value: unknown, shorten: ShortenPaths): Html {
  if (!Array.isArray(value) || value.length === 0) return html``;
  const said = (value as ParityResult[]).map((result) => {
    const { kind, path, dtype, maxDifference: largest, meanDifference: mean, scale } = result;
    const place = path.split(/[\\/]/).at(-1) ?? path;
    const { counted, unit, allowed } = parityText(result);
    const measured = `largest difference to the trained model ${formatNumber(largest)}${unit}, mean ${formatNumber(mean)}; ${allowed}`;
    return html`<p>${shorten(place)}/: the ${kind} in ${dtype}${scaleWords(scale)}. ${counted} were scored again with the exported files: ${measured}.</p>`;
  });
  return html`<section><h2>Export</h2>${said}</section>`;
}

/** How much of its training a run exported, where it chose that; else null. */
export function exportedScale({ exported }: { exported: unknown }): number | null {
  const [first] = Array.isArray(exported) ? (exported as ParityResult[]) : [];
  return first?.scale ?? null;
}

/** How much of the training an export takes, where the run chose that; else nothing. */
export function scaleWords(scale: number | undefined): string {
  return scale === undefined ? "" : `, at scale ${scale} of the training`;
}

/** Words for the counts of a data check, in their order. */
const countNames: Readonly<Record<string, string>> = {
  read: "rows read",
  train: "rows trained on",
  evaluation: "rows held out",
  notDrawn: "rows not drawn by the mixture",
  truncatedRows: "rows cut",
  truncatedTokens: "tokens cut",
  endsLost: "ends of turn lost",
};

/** The data check's section: counts, lengths, and findings with their rows and remedies; nothing where there was none. */
export function dataCheckSection(value: unknown, shorten: ShortenPaths): Html {
  const checked = (value ?? {}) as Partial<Checked>;
  const { findings, counts } = checked;
  if (!Array.isArray(findings) || counts === undefined) {
    const table = factsHtml(value, shorten);
    return table === null ? html`` : html`<section><h2>Data check</h2>${table}</section>`;
  }
  const found =
    findings.length === 0
      ? html`<p>Nothing was found wrong.</p>`
      : tableHtml(findingsTable(findings, shorten));
  const bias = lengthSentence(checked.lengthBias ?? null);
  return html`<section><h2>Data check</h2>${bias === null ? html`` : html`<p>${bias}</p>`}
<div class="pairs">${tableHtml(countsTable(counts))}${lengthsHtml(checked)}</div>${found}</section>`;
}

/** How far length alone predicts the pairs, in words; null where no row is a pair. */
export function lengthSentence(bias: LengthBias | null): string | null {
  if (bias === null) return null;
  const { predictor, heldOutAccuracy: accuracy, measuredPairs: pairs, isOnEvaluation } = bias;
  const where = isOnEvaluation ? "held-out" : "training";
  return `Choosing the ${predictor} answer is right for ${(100 * accuracy).toFixed(1)} % of the ${pairs.toLocaleString("en-US")} ${where} pairs: an accuracy says something only above that.`;
}

/** What a data check found of each split; null where there was none. */
export function dataOf(value: unknown): Pick<Checked, "train" | "evaluation"> | null {
  return (value as Checked | null)?.counts === undefined ? null : (value as Checked);
}

/**
 * How many independent draws a run's accuracy on held-out rows is over: pairs, or where several are of one prompt as many as there
 * are prompts; 0 where that is not known. How many pairs labelled rows make says only the evaluation, as long as it kept fewer
 * than it may.
 */
export function heldOutDraws({ config, preflight }: RunView, record: EvaluationRecord | null): number {
  const kept = record?.pair_changes.length ?? 0;
  const isLabelled = methodOf(config.method.objective).over === "labelled";
  const ofLabels = kept < mostPairs ? kept : 0;
  const pairs = isLabelled ? ofLabels : (dataOf(preflight)?.evaluation?.rows ?? 0);
  return pairs / pairsOfPrompt(record?.pair_prompts ?? [], pairs);
}

/** How many of `all` pairs the prompt of one has, in the mean over pairs: from those that were kept, at random, and their prompts. */
function pairsOfPrompt(prompts: readonly number[], all: number): number {
  const kept = prompts.length;
  if (kept < 2) return 1;
  const sizes = [...Map.groupBy(prompts, (prompt) => prompt).values()].map(({ length }) => length);
  const others = sizes.reduce((sum, size) => sum + size * (size - 1), 0) / kept;
  return 1 + (others * (all - 1)) / (kept - 1);
}

/** The length-only accuracy that a data check measured; null where it measured none. */
export function lengthOnly(value: unknown): LengthBias | null {
  const bias = (value as Partial<Checked> | null)?.lengthBias;
  return typeof bias?.heldOutAccuracy === "number" ? bias : null;
}

function lengthsHtml({ train, evaluation }: Partial<Checked>): Html {
  const splits = [["train", train] as const, ["held out", evaluation] as const];
  const rows = splits.flatMap(([split, lengths]) =>
    (["prompt", "chosen", "rejected"] as const).flatMap((part) => {
      const found = lengths?.[part];
      if (typeof found?.mean !== "number" || found.max === 0) return [];
      return [[`${part}, ${split}`, found.min, Number(found.mean.toFixed(1)), found.p95, found.max]];
    }),
  );
  const columns = ["tokens", "least", "mean", "95 of 100 up to", "most"];
  return rows.length === 0 ? html`` : tableHtml({ columns, rows });
}

function countsTable(counts: Checked["counts"]): ReportTable {
  const named = Object.entries(countNames).flatMap(([key, name]): [string, string][] => {
    const count = counts[key];
    return typeof count === "number" && count > 0 ? [[name, count.toLocaleString("en-US")]] : [];
  });
  const dropped = Object.entries((counts["dropped"] ?? {}) as Record<string, number>);
  const left = dropped.map(([reason, count]): [string, string] => [
    `left out: ${reason}`,
    formatNumber(count),
  ]);
  return { columns: ["rows", "count"], rows: [...named, ...left] };
}

function findingsTable(findings: Checked["findings"], shorten: ShortenPaths): ReportTable {
  const rows = findings.map(({ severity, code, count, rows: places, message, remedy }) => [
    severity,
    `${shorten(message)} (${code})`,
    count,
    `${places.map(shorten).join(", ")}${count > places.length && places.length > 0 ? ", …" : ""}`,
    shorten(remedy),
  ]);
  return { columns: ["", "what was found", "rows", "where", "what to do"], rows };
}
