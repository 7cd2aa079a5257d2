/** TensorBoard's own reader on the event files of runs: every number, once, after kills and resumes too. */
import assert from "node:assert/strict";
import { appendFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { readEvaluations } from "../../src/runs/evaluation-records.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { TensorboardWriter } from "../../src/runs/tensorboard.ts";
import { askGgufPython, skipWithoutGguf } from "../support/gguf-peers.ts";
import { runFixture, runTraining } from "../support/runs.ts";

const skip = skipWithoutGguf();
const fixture = runFixture({ rows: 8, held: 4 });
after(() => fixture[Symbol.dispose]());

const python = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
reader = EventAccumulator(json.load(sys.stdin), size_guidance={"scalars": 0, "tensors": 0})
reader.Reload()
scalars = {tag: [[e.step, repr(e.value)] for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
import tensorboard.plugins.hparams.plugin_data_pb2 as hparams
from tensorboard.util import tensor_util
def plugin(tag):
    return reader.SummaryMetadata(tag).plugin_data
tensors = reader.Tags()["tensors"]
texts = {tag: [[e.step, e.tensor_proto.string_val[0].decode()] for e in reader.Tensors(tag)] for tag in tensors if plugin(tag).plugin_name == "text"}
histograms = {tag: [[e.step, tensor_util.make_ndarray(e.tensor_proto).tolist()] for e in reader.Tensors(tag)] for tag in tensors if plugin(tag).plugin_name == "histograms"}
started = {}
for tag in tensors:
    if plugin(tag).plugin_name == "hparams":
        data = hparams.HParamsPluginData.FromString(plugin(tag).content)
        info = data.session_start_info
        started = {"group": info.group_name, "values": {name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()}}
print(json.dumps({"scalars": scalars, "texts": texts, "histograms": histograms, "hparams": started}))
`;

interface Read {
  /** Step and value by tag, as Python writes numbers. */
  scalars: Record<string, [number, string][]>;
  texts: Record<string, [number, string][]>;
  histograms: Record<string, [number, [number, number, number][]][]>;
  hparams: { group?: string; values?: Record<string, unknown> };
}

function numberOf(text: string): number {
  const special: Readonly<Record<string, number>> = {
    nan: Number.NaN,
    inf: Number.POSITIVE_INFINITY,
    "-inf": Number.NEGATIVE_INFINITY,
  };
  return special[text] ?? Number(text);
}

/** The rows that a run's metrics are, by tag. */
function tagged(rows: ReturnType<typeof readMetrics>): Record<string, [number, number][]> {
  const tags: Record<string, [number, number][]> = {};
  for (const row of rows) {
    for (const [key, value] of Object.entries(row)) {
      if (key === "global_step" || typeof value !== "number") continue;
      const tag = key.startsWith("eval_") ? `eval/${key.slice(5)}` : `train/${key}`;
      const list = tags[tag] ?? [];
      list.push([row.global_step, Math.fround(value)]);
      tags[tag] = list;
    }
  }
  return tags;
}

function assertSame({ scalars }: Read, want: Record<string, [number, number][]>): void {
  const got = Object.entries(scalars).map(([tag, list]) => [
    tag,
    list.map(([step, text]) => [step, numberOf(text)]),
  ]);
  assert.deepEqual(Object.fromEntries(got), want);
}

test("a run, stopped and resumed: every number of metrics.jsonl once, and its configuration", {
  skip,
}, async () => {
  const outputDir = fixture.path("run");
  const values = {
    ...fixture.values,
    output_dir: outputDir,
    logging_steps: 1,
    save_steps: 2,
    max_steps: 4,
    use_peft: true,
    eval_steps: 2,
    watch_prompts: "eval",
    watch_max_new_tokens: 4,
  };
  const stop = new AbortController();
  await runTraining(
    { ...values, report_to: ["tensorboard"] },
    {
      signal: stop.signal,
      onEvent: (event) => event.type === "log" && event.row.global_step === 3 && stop.abort(),
    },
  );
  await runTraining({ ...values, report_to: ["tensorboard"], resume_from_checkpoint: "latest" });
  const read = askGgufPython<Read>(python, join(outputDir, "tensorboard"));
  const rows = readMetrics(join(outputDir, "metrics.jsonl"));
  assert.deepEqual(
    read.scalars["train/loss"]?.map(([step]) => step),
    [1, 2, 3, 4],
  );
  assert.ok("eval/loss" in read.scalars && "train/rewards/margins" in read.scalars);
  assertSame(read, tagged(rows));
  assert.match(read.texts["config.yaml/text_summary"]?.[0]?.[1] ?? "", /^use_peft: true$/m);
  const evaluations = readEvaluations(join(outputDir, "evaluations.jsonl"));
  const shown = read.histograms["eval/rejected_logps"];
  assert.deepEqual(
    shown?.map(([step, rows]) => [step, rows.map(([, , count]) => count).reverse()]),
    evaluations.map((each) => [each.global_step, each.rejected_logps?.counts]),
  );
  const edges = shown?.[0]?.[1].at(-1) ?? [];
  assert.deepEqual(edges.slice(0, 2), [-(evaluations[0]?.rejected_logps?.width ?? 0), 0]);
  const samples = read.texts["eval/samples/text_summary"] ?? [];
  assert.deepEqual(
    samples.map(([step]) => step),
    [0, 2, 4],
  );
  assert.ok(samples[2]?.[1].includes(`> ${evaluations.at(-1)?.samples[0]?.answers[0]?.text.split("\n")[0]}`));
  assert.equal(read.hparams.group, "run");
  const { learning_rate, use_peft, train_data } = read.hparams.values ?? {};
  assert.deepEqual([learning_rate, use_peft], [1e-4, true]);
  assert.match(String(train_data), /^\[\{"path":/);
});

test("after a kill in the middle of a record nothing is doubled or lost; NaN and infinities are numbers", {
  skip,
}, () => {
  const dir = fixture.path("killed");
  const row = (global_step: number, loss: number) => ({ global_step, loss, note: "no number" });
  const first = new TensorboardWriter(dir, {});
  for (const step of [1, 2, 3, 4]) first.write(row(step, step / 3));
  const [file = ""] = readdirSync(dir);
  appendFileSync(join(dir, file), Buffer.from([9, 9, 9]));
  const rows = [row(1, 1 / 3), row(2, Number.NaN)];
  const second = new TensorboardWriter(dir, { rows });
  const more = [row(3, Number.POSITIVE_INFINITY), row(4, Number.NEGATIVE_INFINITY), row(5, 1e300)];
  for (const each of more) second.write(each);
  second.close();
  first.close();
  const read = askGgufPython<Read>(python, dir);
  assertSame(read, tagged([...rows, ...more]));
});
