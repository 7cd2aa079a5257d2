/** What rounds of greedy decoding in several forms of the weights come to, and the table of it. */
import { at } from "../../src/base/at.ts";
import { textTable } from "../../src/terminal/text-table.ts";
import {
  agreementOf,
  type GenerationPlan,
  type GenerationRecord,
  type HeldForm,
  rateDigits,
} from "./generate-record.ts";
import { spreadOf, spreadText } from "./run-record.ts";

/** A form's figures at one number of answers at once. */
export interface FormFigures {
  form: HeldForm;
  batch: number;
  /** Tokens a second of processor time, of each round. */
  speeds: number[];
  /** Of each round: this form's speed over the first form's. */
  ratios: number[];
  /** Fraction of the greedy tokens that are the first form's, up to where an answer first differs. */
  agreement: number;
  /** Mean and largest absolute change of a log-prob of the first form's text, nats; null where nothing was scored. */
  change: { mean: number; most: number } | null;
}

function speedsOf(records: readonly GenerationRecord[], place: number): number[] {
  return records.map(({ runs }) => {
    const { ids, cpu } = at(runs, place);
    return ids.reduce((sum, answer) => sum + answer.length, 0) / cpu;
  });
}

function changeOf(
  first: readonly GenerationRecord[],
  own: readonly GenerationRecord[],
): FormFigures["change"] {
  const [a, b] = [first, own].map(
    (records) => records.find(({ logprobs = [] }) => logprobs.length > 0)?.logprobs,
  );
  if (a === undefined || b === undefined) return null;
  const changes = a.map((value, i) => Math.abs(value - at(b, i)));
  return { mean: changes.reduce((sum, x) => sum + x, 0) / changes.length, most: Math.max(...changes) };
}

/** The figures of all forms, by batch; the first form is what the others are compared with. */
export function formFigures(
  { batches }: Pick<GenerationPlan, "batches">,
  records: ReadonlyMap<HeldForm, readonly GenerationRecord[]>,
): FormFigures[] {
  const [first = []] = records.values();
  return batches.flatMap((batch, place) => {
    const base = speedsOf(first, place);
    return [...records].map(([form, own]): FormFigures => {
      const speeds = speedsOf(own, place);
      const ids = (of: readonly GenerationRecord[]) => at(at(of, 0).runs, place).ids;
      return {
        ...{ form, batch, speeds, ratios: speeds.map((speed, i) => speed / at(base, i)) },
        ...{ agreement: agreementOf(ids(own), ids(first)), change: changeOf(first, own) },
      };
    });
  });
}

/** The figures as a table: medians with the least and the most of the rounds. */
export function formTable(figures: readonly FormFigures[]): string {
  const text = (values: number[], digits: number) => spreadText(spreadOf(values), digits);
  return textTable(
    [
      "answers\nat once",
      "weights",
      "tokens a second\nof processor time",
      "over the first\nof its round",
      "same greedy\ntokens",
      "change of a log-prob\nmean, largest",
    ],
    figures.map(({ form, batch, speeds, ratios, agreement, change }) => [
      ...[
        String(batch),
        form,
        text(speeds, rateDigits(Math.min(...speeds))),
        text(ratios, 2),
        `${(100 * agreement).toFixed(1)} %`,
      ],
      change === null ? "" : `${change.mean.toFixed(4)}, ${change.most.toFixed(4)}`,
    ]),
  );
}
