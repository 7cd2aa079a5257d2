/** A row of the table of metrics. */
import type { MethodName } from "../methods/index.ts";
import type { MethodMetric } from "../methods/method.ts";

/** A metric. */
export interface MetricInfo extends MethodMetric {
  /** Which rows have it; absent: training and evaluation. */
  rows?: "training" | "evaluation";
  /** The objectives whose runs have it; absent: all. */
  objectives?: readonly MethodName[];
  /** It comes from the pass through the objective, which evaluations of on-policy runs do without. */
  ofObjective?: boolean;
}

/** Of training rows alone, and of evaluation rows alone. */
export const TRAINING: Pick<MetricInfo, "rows"> = { rows: "training" };
export const EVALUATION: Pick<MetricInfo, "rows"> = { rows: "evaluation" };

/** A metric. The rest is the direction that is better and which rows have the metric. */
export function metric(
  key: string,
  unit: string,
  definition: string,
  ...rest: [better?: MetricInfo["better"], limits?: Omit<Partial<MetricInfo>, "key">]
): MetricInfo {
  const [better = null, limits = {}] = rest;
  return { key, unit, definition, better, ...limits };
}
