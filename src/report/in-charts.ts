/** Charts with a line for each run or condition, no more in one than there are colours. */
import type { Chart, Series } from "./line-chart.ts";

/** Colours of the style sheet. */
export const chartColours = 7;

/**
 * The lines in charts of at most seven names, each with a colour that no other of its chart has.
 *
 * @param lines - of one name are those of one run: of training and of held-out rows
 * @param shared - the name of a line that each chart has, if there are several, for comparison
 */
export function inCharts(
  chart: Omit<Chart, "series">,
  lines: readonly Omit<Series, "colour">[],
  shared: string | null,
): Chart[] {
  const byName = Map.groupBy(lines, ({ name }) => name);
  const names = [...byName.keys()];
  const common = names.length > chartColours ? names.filter((name) => name === shared) : [];
  const others = names.filter((name) => !common.includes(name));
  const room = chartColours - common.length;
  const charts = Math.ceil(others.length / room);
  return Array.from({ length: charts }, (_, i) => ({
    ...chart,
    title: charts === 1 ? chart.title : `${chart.title} (${i + 1} of ${charts})`,
    series: [...common, ...others.slice(i * room, (i + 1) * room)].flatMap((name, n) =>
      (byName.get(name) ?? []).map((line) => ({ ...line, colour: n + 1 })),
    ),
  }));
}
