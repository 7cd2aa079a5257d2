/** What the quick start shows at its end: a table for the terminal, and a report with curves. */
import { writeComparison } from "../report/comparison.ts";
import type { RecordedAnswer } from "../runs/evaluation-records.ts";
import { textTable } from "../terminal/text-table.ts";
import type { QuickstartPaths } from "./place.ts";
import { type MethodMetrics, percent } from "./stage-metrics.ts";

interface Column {
  /** In the terminal; "\n" stacks words. */
  short: string;
  /** In the report. */
  long: string;
  /** Null where there is nothing to say. */
  cell: (metrics: MethodMetrics) => string | null;
}

const columns: readonly Column[] = [
  { short: "", long: "", cell: ({ name }) => name },
  { short: "held-out\naccuracy", long: "held-out accuracy", cell: ({ accuracy }) => percent(accuracy) },
  {
    short: "chosen\nsince SFT",
    long: "chosen since SFT, nats/token",
    cell: ({ change }) => signed(change?.chosen),
  },
  {
    short: "rejected\nsince SFT",
    long: "rejected since SFT, nats/token",
    cell: ({ change }) => signed(change?.rejected),
  },
  {
    short: "chosen\ndown in",
    long: "chosen less likely in",
    cell: ({ change }) => (change === null ? null : percent(change.chosenDown)),
  },
  { short: "distinct-2", long: "distinct\u20112", cell: ({ distinct2 }) => distinct2.toFixed(3) },
  { short: "ended", long: "ended properly", cell: ({ ended }) => percent(ended) },
  { short: "right\nform", long: "right form", cell: ({ rightForm }) => percent(rightForm) },
  { short: "right\nanswer", long: "right answer", cell: ({ right }) => percent(right) },
  {
    short: "time",
    long: "time with loading and export",
    cell: ({ seconds }) => `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`,
  },
  {
    short: "peak\nmemory",
    long: "peak memory, export too",
    cell: ({ peakBytes }) => `${Math.round(peakBytes / 2 ** 20)} MiB`,
  },
];

function signed(value: number | undefined): string | null {
  if (value === undefined) return null;
  return `${value > 0 ? "+" : ""}${value.toFixed(3)}`.replace("-", "−");
}

/** The table for the terminal. */
export function resultTable(metrics: readonly MethodMetrics[]): string {
  return textTable(
    columns.map(({ short }) => short),
    metrics.map((one) => columns.map(({ cell }) => cell(one) ?? "–")),
  );
}

/** How to read the table. */
export const legend: readonly string[] = [
  "Accuracy: pairs whose chosen answer has the higher mean log-probability. Since SFT: nats per token.",
  "Distinct-2 to right answer: of answers sampled at temperature 1 to held-out questions.",
  "Time: of training, with loading and export. Memory: peak of the stage's process, libtorch included.",
];

/** What the report says besides the runs and the metrics. */
export interface QuickstartText {
  intro: string;
  said: readonly string[];
  /** A question, its right answer, and each stage's first answer. */
  asked: readonly { question: string; right: string; answers: readonly RecordedAnswer[] }[];
}

/** Writes the report over the preference stages. */
export function writeQuickstartReport(
  paths: QuickstartPaths,
  metrics: readonly MethodMetrics[],
  { intro, said, asked }: QuickstartText,
): void {
  const compared = metrics.filter(({ change }) => change !== null).map(({ name }) => name);
  const answers = asked.map(({ question, right, answers: given }) => ({
    prompt: question,
    answers: [{ text: right, ended: true }, ...given],
  }));
  writeComparison(
    compared.map((name) => paths.run(name.toLowerCase())),
    paths.report,
    {
      title: "Quick start: one SFT model, three preference objectives",
      names: compared,
      more: [intro, ...said, ...legend].map((text) => text.replaceAll(" %", "\u00a0%")),
      table: {
        columns: columns.map(({ long }) => long),
        rows: metrics.map((one) => columns.map(({ cell }) => cell(one))),
      },
      answers: { names: ["right answer", ...metrics.map(({ name }) => name)], asked: answers },
    },
  );
}

/** Lines that show what each model answered to one question. */
export function answerLines(question: string, answers: readonly { name: string; text: string }[]): string {
  const width = Math.max(...answers.map(({ name }) => name.length));
  const lines = answers.map(({ name, text }) => `  ${name.padEnd(width)}  ${printable(text)}`);
  return [`Asked: ${question}`, ...lines]
    .map((line) => (line.length > 100 ? `${line.slice(0, 99)}…` : line))
    .join("\n");
}

/** Text of a model in one line; whatever could steer a terminal is replaced. */
function printable(text: string): string {
  return text.replaceAll("\n", " / ").replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "\u00b7");
}
