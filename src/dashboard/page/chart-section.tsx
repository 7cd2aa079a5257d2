/** The charts of a run under a heading: those that have points. */
import type { JSX } from "preact";
import type { ChartPlan } from "../../report/chart-plans.ts";
import { CurveChart, type Line } from "./curve-chart.tsx";
import { type Curves, type Drawing, scaled } from "./curves.ts";
import { meaningOf, unitOf } from "./metric-texts.tsx";

interface Props {
  /** Of the run. */
  id: string;
  part: string;
  title: string;
  plans: readonly ChartPlan[];
  curves: Curves;
  drawing: Drawing;
  isLog: boolean;
  version: number;
  /** What length alone gets: charts of accuracy are to be read against it. */
  baseline: number | null;
}

/** A section of charts; nothing where none has points. */
export function ChartSection({
  id,
  part,
  title,
  plans,
  curves,
  baseline,
  ...rest
}: Props): JSX.Element | null {
  const charts = plans.flatMap((plan) => {
    const lines = linesOf(plan, curves);
    return lines.length === 0 ? [] : [{ plan, lines }];
  });
  if (charts.length === 0) return null;
  return (
    <section>
      <h2 id={part}>{title}</h2>
      <div class="charts live">
        {charts.map(({ plan, lines }) => {
          const marks =
            plan.isAccuracy === true && baseline !== null ? [{ value: baseline, name: "length alone" }] : [];
          return (
            <CurveChart
              key={plan.title + plan.lines[0]?.[0]}
              {...rest}
              title={plan.title}
              unit={unitOf(plan)}
              lines={lines}
              marks={marks}
              note={plan.note}
              meaning={meaningOf(plan)}
              csv={`/api/runs/${id}/metrics.csv?keys=${encodeURIComponent(keysOf(plan).join())}`}
            />
          );
        })}
      </div>
    </section>
  );
}

/** The lines of a chart that have points: of training, and of held-out rows. */
function linesOf(plan: ChartPlan, curves: Curves): Line[] {
  return plan.lines.flatMap(([key, name], i) =>
    [key, `eval_${key}`].flatMap((one, n): Line[] => {
      const curve = curves.get(one);
      if (curve === undefined) return [];
      const isBytes = key === "peak_memory_bytes";
      return [
        {
          ...{ name, colour: i + 1, isEval: n === 1 && plan.isSampled !== true },
          curve: isBytes ? scaled(curve, 2 ** -30) : curve,
        },
      ];
    }),
  );
}

/** The metrics of a chart, of training and of held-out rows. */
function keysOf({ lines }: ChartPlan): string[] {
  return lines.flatMap(([key]) => [key, `eval_${key}`]);
}
