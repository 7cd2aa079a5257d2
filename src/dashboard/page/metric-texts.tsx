/** What metrics mean: unit, definition, which direction is good. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import type { ChartPlan } from "../../report/chart-plans.ts";
import { get } from "./api.ts";

/** What is known of a metric. */
interface MetricText {
  unit: string;
  definition: string;
  better: "higher" | "lower" | null;
}

const metrics = signal<Readonly<Record<string, MetricText>> | null>(null);
let isAsked = false;

/** The texts by key; empty until the server has said. */
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

/** The unit of a chart. */
export function unitOf({ unit, lines }: ChartPlan): string {
  const known = unit ?? metricTexts()[plain(lines[0]?.[0] ?? "")]?.unit ?? "";
  return known === "bytes" ? "GiB" : known;
}

/** What "?" shows of a chart; null where nothing is known. */
export function meaningOf({ lines }: ChartPlan): JSX.Element | null {
  const texts = metricTexts();
  const known = lines.flatMap(([key, name]) => {
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

function plain(key: string): string {
  return key.replace(/^eval_/, "");
}
