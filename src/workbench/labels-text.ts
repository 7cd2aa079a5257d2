/** What labels say, as lines for a terminal. */
import type { Coefficient } from "../stats/agreement.ts";
import type { Interval } from "../stats/bootstrap.ts";
import type { ExportCounts } from "./export-labels.ts";
import { enough, type PeopleReport, type Share, type WithOthers } from "./people.ts";

/** `0.62 [0.45, 0.77]`; a dash where there is no value. */
function withInterval(value: number, { low, high }: Interval): string {
  if (Number.isNaN(value)) return "–";
  return Number.isNaN(low) ? value.toFixed(2) : `${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
}

function shareText(share: Share): string {
  return share.of === 0 ? "–" : `${withInterval(share.share, share)} of ${share.of}`;
}

/** With the number of common pairs where these are too few for an interval. */
function kappaText(kappa: WithOthers): string {
  const text = withInterval(kappa.value, kappa);
  return kappa.units < enough ? `${text} on ${kappa.units} pairs` : text;
}

/** Headings of {@link personRows}. */
export const personColumns: readonly string[] = [
  "person",
  "labelled",
  "skipped",
  "kappa with\nthe others",
  "alike when\nit came back",
  "left side\nchosen",
  "longer answer\nchosen",
];

/** A row a person, as texts. */
export function personRows({ people }: PeopleReport): string[][] {
  return people.map((one) => [
    one.person,
    String(one.labelled),
    String(one.skipped),
    one.withOthers === null ? "–" : kappaText(one.withOthers),
    shareText(one.selfAgreement),
    shareText(one.left),
    shareText(one.longer),
  ]);
}

/** Agreement, conflicts and findings, a sentence a line. */
export function agreementLines({ people, agreement, conflicts, findings }: PeopleReport): string[] {
  const coefficient = (name: string, one: Coefficient | null) =>
    one === null ? [] : [`${name.padEnd(22)}${withInterval(one.value, one)}`];
  const lines =
    agreement === null
      ? ["Agreement needs two people who judged the same pairs."]
      : [
          `Agreement on ${agreement.units} pairs that two people or more judged, with 95 % intervals:`,
          ...coefficient("raw agreement", agreement.raw),
          ...coefficient("Cohen's kappa", agreement.kappa),
          ...coefficient("Gwet's AC1", agreement.ac1),
          ...coefficient("Krippendorff's alpha", agreement.alpha),
        ];
  const open =
    conflicts.length === 0 ? [] : [`${conflicts.length} pairs are judged differently and not decided.`];
  const isShort = people.some(({ withOthers }) => withOthers !== null && withOthers.units < enough);
  const short = isShort ? [`The interval of a person's kappa needs ${enough} common pairs.`] : [];
  return [...lines, ...short, ...open, ...findings.map(({ message }) => message)];
}

const countWords: Readonly<Record<keyof ExportCounts, string>> = {
  items: "pairs in the workbench",
  unlabelled: "not judged",
  skipped: "skipped by all who saw them",
  conflicts: "judged differently, not settled",
  ties: "equally good",
  bad: "both bad",
  used: "used",
  decided: "by a decision",
  byMajority: "by what most said",
  edited: "with an edited answer",
  byJudge: "by a judge's verdict alone",
  byFile: "by the file's verdict alone",
  rows: "rows written",
  editsLeftOut: "edited answers left out: of judgments that do not count",
  textsAsMessages: "rows of texts written as messages, as the others are conversations",
};

/** Where each pair went, those of no pairs left out. */
export function countLines(counts: ExportCounts): string[] {
  const parts = new Set<keyof ExportCounts>(["decided", "byMajority", "edited", "byJudge", "byFile"]);
  return (Object.keys(countWords) as (keyof ExportCounts)[])
    .filter((name) => counts[name] > 0 || ["items", "used", "rows"].includes(name))
    .map(
      (name) =>
        `${String(counts[name]).padStart(8)}  ${parts.has(name) ? "  of these " : ""}${countWords[name]}`,
    );
}
