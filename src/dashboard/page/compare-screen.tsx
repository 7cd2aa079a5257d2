/** Two to eight runs over each other, live; the report over them has who is better by how much, what differs and what each answers. */
import { Fragment, type JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ChartPlan } from "../../report/chart-plans.ts";
import type { ComparisonParts } from "../../report/comparison.ts";
import type { ChartGroup } from "../run-charts.ts";
import type { Summary } from "../run-summary.ts";
import type { WireCurve } from "../wire.ts";
import { get } from "./api.ts";
import { ChartOptions, drawingOf } from "./chart-options.tsx";
import { CurveChart, type Line } from "./curve-chart.tsx";
import { addRows, areSame, type Curves, curvesOf, type Drawing, extentOf } from "./curves.ts";
import { type Listener, useStream } from "./live.ts";
import { meaningOf, unitOf } from "./metric-texts.tsx";
import { OutcomeTable } from "./outcome-table.tsx";
import { Empty, Problem, ServerHtml, useAnswer, Waiting } from "./pieces.tsx";
import { type Place, setQuery } from "./place.ts";
import { bandOf, type Fold, foldsOf, lineName } from "./seed-bands.ts";
import { useLoading } from "./use-loading.ts";
import { useReload } from "./use-smoothing.ts";

/** Colours of the style sheet. */
const colours = 7;

interface Opened {
  summary: Summary;
  place: string;
  groups: ChartGroup[];
  curves: Readonly<Record<string, WireCurve>>;
}

/** The screen: `#/compare?runs=ID,ID`. */
export function CompareScreen({ place }: { place: Place }): JSX.Element {
  const ids = (place.query.get("runs") ?? "").split(",").filter(Boolean);
  if (ids.length < 2) {
    return (
      <>
        <h1>Compare</h1>
        <Empty of="compare" />
      </>
    );
  }
  return <Compared key={ids.join()} ids={ids} isFolded={place.query.get("seeds") !== "each"} />;
}

/** The runs as they are opened, kept up to date. */
function useRuns(ids: readonly string[]): {
  runs: readonly Opened[] | null;
  curves: ReadonlyMap<string, Curves>;
  version: number;
  /** Raised with each evaluation. */
  evaluated: number;
  problem: string;
} {
  const [runs, setRuns] = useState<readonly Opened[] | null>(null);
  const [version, setVersion] = useState(0);
  const [evaluated, setEvaluated] = useState(0);
  const curves = useRef(new Map<string, Curves>());
  const { smoothing } = drawingOf(null);
  const { load, problem, fail } = useLoading(async () => {
    const opened = await Promise.all(
      ids.map((id) => get<Opened>(`/api/runs/${encodeURIComponent(id)}/curves?smooth=${smoothing}`)),
    );
    curves.current = new Map(
      opened.map(({ summary, curves: sent }) => [summary.id, curvesOf(sent, smoothing)]),
    );
    setRuns(opened);
    setVersion((n) => n + 1);
  });
  // of other runs this is another component
  useEffect(load, []);
  useReload(curves.current.values(), smoothing, load);
  const places = runs?.map(({ summary, place }) => `${summary.id}@${place}`).join();
  // while a new answer is rendered the stream before it still tells rows, which that answer has
  const own = curves.current;
  const listener: Listener = {
    rows: ({ run, rows }) => {
      addRows(own.get(run) ?? new Map(), rows);
      setVersion((n) => n + 1);
    },
    summary: ({ run, summary }) =>
      setRuns((before) => before?.map((one) => (one.summary.id === run ? { ...one, summary } : one)) ?? null),
    evaluations: () => setEvaluated((n) => n + 1),
    restart: load,
    problem: ({ message }) => fail(message),
  };
  useStream(places === undefined ? null : `/api/stream?runs=${places}`, listener, own);
  return { runs, curves: curves.current, version, evaluated, problem };
}

function Compared({ ids, isFolded }: { ids: readonly string[]; isFolded: boolean }): JSX.Element {
  const { runs, curves, version, evaluated, problem } = useRuns(ids);
  const asked = `/api/comparison/parts?runs=${ids.map(encodeURIComponent).join()}`;
  const parts = useAnswer<ComparisonParts>(asked, evaluated);
  if (runs === null) return <Waiting problem={problem}>Reading the runs …</Waiting>;
  const { isLog, ...drawing } = drawingOf(null);
  const all = [...curves.values()].flatMap((some) => [...some.values()]);
  const plans = runs[0]?.groups.filter(({ part }) => part === "outcome" || part === "training") ?? [];
  const folds = foldsOf(runs, isFolded);
  const baselines = baselinesOf(runs);
  const hasSeeds = foldsOf(runs, true).length < runs.length;
  return (
    <>
      <h1>Compare</h1>
      {problem !== "" && <Problem text={problem} />}
      <OutcomeTable folds={folds} />
      <p class="bar">
        <a
          href={`/api/comparison?runs=${ids.map(encodeURIComponent).join()}`}
          target="_blank"
          rel="noreferrer"
        >
          As a report, to keep and to send
        </a>
        {hasSeeds && (
          <label>
            <input
              type="checkbox"
              checked={isFolded}
              onChange={(event) => setQuery({ seeds: event.currentTarget.checked ? "" : "each" })}
            />{" "}
            Seeds of one configuration as one line: their mean, in a band from the least to the greatest
          </label>
        )}
      </p>
      <ChartOptions drawing={{ ...drawing, isLog }} whole={extentOf(all, drawing)} />
      {plans.map(({ part, plans: some }) => (
        <Fragment key={part}>
          <Charts
            title={part === "outcome" ? "Outcome" : "Training"}
            charts={some.flatMap(byLine).map((plan) => ({
              plan,
              lines: linesOf(plan, folds, { curves, smoothing: drawing.smoothing }),
            }))}
            isOneUnit={parts.value?.isOneUnit === true}
            {...{ runs: folds.length, drawing, isLog, version, baselines }}
          />
          {part === "outcome" && <ServerHtml html={parts.value?.html ?? ""} />}
          {part === "outcome" && parts.problem !== "" && <Problem text={parts.problem} />}
        </Fragment>
      ))}
    </>
  );
}

interface ChartsProps {
  title: string;
  charts: readonly { plan: ChartPlan; lines: readonly Line[] }[];
  /** How many lines a chart of all has. */
  runs: number;
  isOneUnit: boolean;
  drawing: Drawing;
  isLog: boolean;
  version: number;
  baselines: { value: number; name: string }[];
}

/** Charts under a heading; those in which all runs are the same are a sentence. */
function Charts({ title, charts, runs, isOneUnit, baselines, ...rest }: ChartsProps): JSX.Element {
  const same = charts.filter(({ lines }) => lines.length === runs && areSame(lines));
  return (
    <section>
      <h2>{title}</h2>
      <div class="charts live">
        {charts
          .filter((chart) => chart.lines.length > 0 && !same.includes(chart))
          .map(({ plan, lines }) => (
            <CurveChart
              key={plan.title + plan.lines[0]?.[0]}
              {...rest}
              {...{ title: plan.title, unit: unitOf(plan), lines }}
              note={
                plan.isOwnUnit === true && !isOneUnit
                  ? "In the unit of each objective: not comparable."
                  : plan.note
              }
              marks={plan.isAccuracy === true ? baselines : []}
              meaning={meaningOf(plan)}
            />
          ))}
      </div>
      {same.length > 0 && (
        <p class="soft">
          The same in all runs: {same.map(({ plan }) => plan.title.toLowerCase()).join("; ")}.
        </p>
      )}
    </section>
  );
}

/** A chart for each line of a plan, as every run has one. */
function byLine(plan: ChartPlan): ChartPlan[] {
  const { title, lines } = plan;
  return lines.map((line) => ({
    ...plan,
    title: lines.length === 1 ? title : `${title}: ${line[1]}`,
    lines: [line],
  }));
}

/** What length alone gets on the held-out pairs of the runs. */
function baselinesOf(runs: readonly Opened[]): { value: number; name: string }[] {
  const values = new Set(runs.flatMap(({ summary: { baseline } }) => baseline ?? []));
  return [...values].map((value) => ({ value, name: "length alone" }));
}

/** A line a run, or a group of seeds: of held-out rows where there are any. */
function linesOf(
  plan: ChartPlan,
  folds: readonly Fold<Opened>[],
  { curves, smoothing }: { curves: ReadonlyMap<string, Curves>; smoothing: number },
): Line[] {
  const [key = ""] = plan.lines[0] ?? [];
  return folds.flatMap((fold, i): Line[] => {
    const own = fold.runs.flatMap(({ summary }) => curves.get(summary.id) ?? []);
    const isHeld = own.some((one) => one.has(`eval_${key}`));
    const found = own.flatMap((one) => one.get(isHeld ? `eval_${key}` : key) ?? []);
    const [curve] = found;
    if (curve === undefined) return [];
    const name = lineName(fold, found.length);
    const line = { name, colour: (i % colours) + 1, isEval: isHeld && plan.isSampled !== true };
    if (found.length === 1) return [{ ...line, curve }];
    const band = bandOf(found, smoothing);
    return [{ ...line, curve: band.curve, band }];
  });
}
