/** The charts of a run under a heading: those that have points. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import type { ChartPlan } from "../../report/chart-plans.ts";
import { get } from "./api.ts";
import { CurveChart, type Line } from "./curve-chart.tsx";
import type { Curves, Drawing } from "./curves.ts";

/** What is known of a metric. */
interface MetricText {
  unit: string;
  definition: string;
  better: "higher" | "lower" | null;
}

const metrics = signal<Readonly<Record<string, MetricText>> | null>(null);
let isAsked = false;

/** What the metrics mean; empty until the server has said. */
function metricTexts(): Readonly<Record<string, MetricText>> {
  if (!isAsked) {
    isAsked = true;
    get<Record<string, MetricText>>("/api/metrics")
      .then((texts) => {
        metrics.value = texts;
      })
      .catch(() => {
        isAsked = false;
      });
  }
  return metrics.value ?? {};
}

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
  const texts = metricTexts();
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
          const unit = plan.unit ?? texts[plain(plan.lines[0]?.[0] ?? "")]?.unit ?? "";
          const marks =
            plan.isAccuracy === true && baseline !== null ? [{ value: baseline, name: "length alone" }] : [];
          return (
            <CurveChart
              key={plan.title + plan.lines[0]?.[0]}
              {...rest}
              title={plan.title}
              unit={unit === "bytes" ? "GiB" : unit}
              lines={lines}
              marks={marks}
              note={plan.note}
              meaning={meaningOf(plan, texts)}
              csv={`/api/runs/${id}/metrics.csv?keys=${encodeURIComponent(keysOf(plan).join())}`}
            />
          );
        })}
      </div>
    </section>
  );
}

function plain(key: string): string {
  return key.replace(/^eval_/, "");
}

/** The lines of a chart that have points: of training, and of held-out rows. */
function linesOf(plan: ChartPlan, curves: Curves): Line[] {
  return plan.lines.flatMap(([key, name], i) =>
    [key, `eval_${key}`].flatMap((one, n): Line[] => {
      const curve = curves.get(one);
      if (curve === undefined) return [];
      const isBytes = key === "peak_memory_bytes";
      const value = isBytes ? curve.value.map((bytes) => bytes / 2 ** 30) : curve.value;
      return [
        { name, colour: i + 1, isEval: n === 1 && plan.isSampled !== true, curve: { ...curve, value } },
      ];
    }),
  );
}

/** The metrics of a chart, of training and of held-out rows. */
function keysOf({ lines }: ChartPlan): string[] {
  return lines.flatMap(([key]) => [key, `eval_${key}`]);
}

function meaningOf(plan: ChartPlan, texts: Readonly<Record<string, MetricText>>): JSX.Element | null {
  const known = plan.lines.flatMap(([key, name]) => {
    const text = texts[plain(key)];
    return text === undefined ? [] : [{ key, name, ...text }];
  });
  if (known.length === 0) return null;
  return (
    <dl>
      {known.map(({ key, name, definition, better }) => (
        <div key={key}>
          <dt>
            {name} <code>{key}</code>
          </dt>
          <dd>
            {definition} {better === null ? "" : `Better: ${better}.`}
          </dd>
        </div>
      ))}
    </dl>
  );
}
