/** The outcome of runs side by side: a line a run, or a group of seeds with its mean and range. */
import { Fragment, type JSX } from "preact";
import type { Summary } from "../run-summary.ts";
import type { WireNumber } from "../wire-number.ts";
import { addressOf } from "./place.ts";
import { type Fold, rangeOf } from "./seed-bands.ts";
import { Table } from "./table.tsx";
import { percentText, signedText } from "./texts.ts";

type Shown = Fold<{ summary: Summary }>;

const columns: readonly [string, (run: Summary) => WireNumber | null, (value: number) => string][] = [
  ["Chosen", ({ chosen }) => chosen, signedText],
  ["Rejected", ({ rejected }) => rejected, signedText],
  ["Accuracy", ({ accuracy }) => accuracy, percentText],
  ["Step", ({ step }) => step, String],
];

/** The table. */
export function OutcomeTable({ folds }: { folds: readonly Shown[] }): JSX.Element {
  return (
    <Table
      isStacked
      head={["Run", ...columns.map(([name]) => name)]}
      numbers={[1]}
      lines={folds.map(({ name, runs }) => ({
        key: runs[0]?.summary.id ?? name,
        cells: [
          <Fragment key="runs">
            {runs.length > 1 && <div>{name}</div>}
            {runs.map(({ summary }) => (
              <a key={summary.id} class="of-seed" href={addressOf(["runs", summary.id])}>
                {runs.length > 1 ? summary.name : name}
              </a>
            ))}
          </Fragment>,
          ...columns.map(([column, figureOf, text]) => (
            <Figure key={column} values={runs.map(({ summary }) => figureOf(summary))} text={text} />
          )),
        ],
      }))}
    />
  );
}

function Figure({
  values,
  text,
}: {
  values: readonly (WireNumber | null)[];
  text: (value: number) => string;
}): JSX.Element {
  const range = rangeOf(values);
  if (range === null) return <>–</>;
  const { mean, low, high } = range;
  if (low === high || values.length === 1) return <>{text(mean)}</>;
  return (
    <>
      {text(Number(mean.toPrecision(6)))}
      <small class="soft">
        {text(low)} to {text(high)}
      </small>
    </>
  );
}
