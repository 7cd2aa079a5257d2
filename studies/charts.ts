/** Charts with a line for each condition, no more in one than there are colours. */
import type { Chart, Series } from "preftune/sweep";

/** Colours of the style sheet. */
const colours = 7;

/**
 * The lines in charts of at most seven.
 *
 * @param shared - the name of a line that each chart has, if there are several, for comparison
 */
export function inCharts(
  chart: Omit<Chart, "series">,
  lines: readonly Omit<Series, "colour">[],
  shared: string | null,
): Chart[] {
  const common = lines.length > colours ? lines.filter(({ name }) => name === shared) : [];
  const others = lines.filter((line) => !common.includes(line));
  const room = colours - common.length;
  const charts = Math.ceil(others.length / room);
  return Array.from({ length: charts }, (_, i) => ({
    ...chart,
    title: charts === 1 ? chart.title : `${chart.title} (${i + 1} of ${charts})`,
    series: [...common, ...others.slice(i * room, (i + 1) * room)].map((line, n) => ({
      ...line,
      colour: n + 1,
    })),
  }));
}
