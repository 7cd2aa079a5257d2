/** Tests of metrics.ts: the text as Prometheus reads it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MetricsRegistry } from "./prometheus.ts";

test("a histogram counts what is at most each bound, and all at +Inf", () => {
  const registry = new MetricsRegistry();
  const seconds = registry.histogram("h_seconds", "Times.", [0.1, 1]);
  for (const value of [0.05, 0.1, 0.5, 7]) seconds.observe(value);
  assert.equal(
    registry.text(),
    [
      "# HELP h_seconds Times.",
      "# TYPE h_seconds histogram",
      'h_seconds_bucket{le="0.1"} 2',
      'h_seconds_bucket{le="1"} 3',
      'h_seconds_bucket{le="+Inf"} 4',
      "h_seconds_sum 7.65",
      "h_seconds_count 4",
      "",
    ].join("\n"),
  );
});

test("a counter has a line for each set of labels, whose values are escaped; a gauge that is unknown has none", () => {
  const registry = new MetricsRegistry();
  const counter = registry.counter("c_total", "Things.");
  counter.add({ route: 'a"b\\c\nd' });
  counter.add({ route: "x" }, 2);
  counter.add({ route: "x" });
  let value: number | null = null;
  registry.gauge("g", "Now.", () => value);
  const lines = registry.text().split("\n");
  assert.ok(lines.includes('c_total{route="a\\"b\\\\c\\nd"} 1'));
  assert.ok(lines.includes('c_total{route="x"} 3'));
  assert.ok(!lines.some((line) => line.startsWith("g ")));
  value = 5;
  assert.ok(registry.text().split("\n").includes("g 5"));
});
