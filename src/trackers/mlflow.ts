/** MLflow by its REST API: an experiment, a run found by a tag, batches of metrics. */
import { EndpointError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { isEvalRow, type MetricRow } from "../runs/metrics.ts";
import { numbersOf } from "../runs/tracker-names.ts";
import { askServer } from "./request.ts";
import type { TrackerSettings } from "./settings.ts";
import type { OpenedRun, RunEnd, TrackedRun, Tracker } from "./tracker.ts";

/** MLflow's limits of one request. */
const mostMetrics = 1000;
const mostParams = 100;
/** Characters of a parameter; servers before 2.8 take no more. */
const mostCharacters = 500;

const tag = "preftune.run";

interface Metric {
  key: string;
  value: number | string;
  timestamp: number;
  step: number;
}

const statusOf = { done: "FINISHED", stopped: "KILLED", failed: "FAILED", left: "KILLED" } as const;

/** Sends to an MLflow server. */
export class Mlflow implements Tracker {
  readonly #settings: TrackerSettings;
  #runId = "";

  constructor(settings: TrackerSettings) {
    this.#settings = settings;
  }

  async open(run: TrackedRun): Promise<OpenedRun> {
    const experiment = await this.#experiment();
    const found = await this.#ask("/runs/search", {
      experiment_ids: [experiment],
      filter: `tags.\`${tag}\` = '${run.key}'`,
      max_results: 1,
    });
    const [there] = Array.isArray(found["runs"]) ? found["runs"] : [];
    if (there === undefined) await this.#create(experiment, run);
    else await this.#continue(there, run);
    // a run that was made before the answer was lost has no metric yet
    return { isThere: there !== undefined && hasMetrics(objectIn(there, "data")), isKept: true };
  }

  /** The id of the experiment, which is made where there is none. */
  async #experiment(): Promise<string> {
    const { project } = this.#settings;
    const name = encodeURIComponent(project);
    const path = `/experiments/get-by-name?experiment_name=${name}`;
    const { status, value } = await this.#raw(path, undefined, [404]);
    const known = status === 404 ? undefined : objectIn(value, "experiment", path)["experiment_id"];
    if (known !== undefined) return String(known);
    return textIn(await this.#ask("/experiments/create", { name: project }), "experiment_id");
  }

  async #create(experiment: string, run: TrackedRun): Promise<void> {
    const made = await this.#ask("/runs/create", {
      experiment_id: experiment,
      run_name: run.name,
      start_time: Date.now(),
      tags: [
        { key: tag, value: run.key },
        { key: "mlflow.runName", value: run.name },
        { key: "mlflow.source.name", value: "preftune" },
      ],
    });
    this.#runId = textIn(objectIn(objectIn(made, "run"), "info"), "run_id");
    await this.#params(run, new Set());
  }

  /** A run that is there gets the parameters that it lacks: MLflow changes none. */
  async #continue(there: unknown, run: TrackedRun): Promise<void> {
    this.#runId = textIn(objectIn(there, "info"), "run_id");
    const data = objectIn(there, "data");
    const params = Array.isArray(data["params"]) ? data["params"] : [];
    await this.#params(run, new Set(params.map((param: unknown) => (isRecord(param) ? param["key"] : null))));
    await this.#ask("/runs/update", { run_id: this.#runId, status: "RUNNING" });
  }

  async #params({ config }: TrackedRun, there: ReadonlySet<unknown>): Promise<void> {
    const params = Object.entries(config)
      .filter(([key]) => !there.has(key))
      .map(([key, value]) => ({ key, value: paramText(value) }));
    for (let from = 0; from < params.length; from += mostParams) {
      const some = params.slice(from, from + mostParams);
      await this.#ask("/runs/log-batch", { run_id: this.#runId, params: some });
    }
  }

  async send(rows: readonly MetricRow[], mayBeThere: boolean): Promise<void> {
    const timestamp = Date.now();
    const all = rows.flatMap((row) =>
      pointsOf(row).map(
        ([key, value]): Metric => ({
          key: key.replace(/[^\w\-. :/]/g, "_"),
          // as protocol buffers have it in JSON
          value: Number.isFinite(value) ? value : String(value),
          timestamp,
          step: row.global_step,
        }),
      ),
    );
    const metrics = mayBeThere ? await this.#missing(all) : all;
    for (let from = 0; from < metrics.length; from += mostMetrics) {
      const some = metrics.slice(from, from + mostMetrics);
      await this.#ask("/runs/log-batch", { run_id: this.#runId, metrics: some });
    }
  }

  /** Those that the server does not have at their steps. */
  async #missing(metrics: readonly Metric[]): Promise<Metric[]> {
    const there = new Map<string, Set<number>>();
    for (const key of new Set(metrics.map((metric) => metric.key))) {
      const path = `/metrics/get-history?run_id=${this.#runId}&metric_key=${encodeURIComponent(key)}`;
      const history = (await this.#ask(path))["metrics"];
      const steps = (Array.isArray(history) ? history : []).map((one: unknown) =>
        // a step of 0 may be left out
        Number(isRecord(one) ? (one["step"] ?? 0) : Number.NaN),
      );
      there.set(key, new Set(steps));
    }
    return metrics.filter(({ key, step }) => there.get(key)?.has(step) !== true);
  }

  async close(end: RunEnd): Promise<void> {
    await this.#ask("/runs/update", { run_id: this.#runId, status: statusOf[end], end_time: Date.now() });
  }

  dispose(): void {}

  async #ask(path: string, body?: unknown): Promise<Record<string, unknown>> {
    const { value } = await this.#raw(path, body);
    if (isRecord(value)) return value;
    throw new EndpointError(`${path.split("?")[0]}: expected an object, got ${JSON.stringify(value)}`, null);
  }

  #raw(path: string, body: unknown, accepted: readonly number[] = []): ReturnType<typeof askServer> {
    return askServer(this.#settings, {
      path: `/api/2.0/mlflow${path}`,
      accepted,
      ...(body === undefined ? {} : { body }),
    });
  }
}

function hasMetrics({ metrics }: Record<string, unknown>): boolean {
  return Array.isArray(metrics) && metrics.length > 0;
}

/** A metric has one value a step here, and the epoch is in training rows too. */
function pointsOf(row: MetricRow): [string, number][] {
  return numbersOf(row).filter(([key]) => key !== "epoch" || !isEvalRow(row));
}

function paramText(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length <= mostCharacters ? text : `${text.slice(0, mostCharacters - 1)}…`;
}

function objectIn(value: unknown, field: string, path = ""): Record<string, unknown> {
  const part = isRecord(value) ? value[field] : undefined;
  if (isRecord(part)) return part;
  throw new EndpointError(
    `${path}: expected an object "${field}" in MLflow's answer, got ${JSON.stringify(part)}`,
    null,
  );
}

function textIn(value: Record<string, unknown>, field: string): string {
  const text = value[field];
  if (typeof text === "string") return text;
  throw new EndpointError(`expected "${field}" in MLflow's answer, got ${JSON.stringify(text)}`, null);
}
