/** Trackio's own server by HTTP. It keeps one row of each `log_id`, so a row that is sent twice is there once. */
import { EndpointError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { isEvalRow, type MetricRow } from "../runs/metrics.ts";
import { chartName, numbersOf } from "../runs/tracker-names.ts";
import { askServer } from "./request.ts";
import type { TrackerSettings } from "./settings.ts";
import type { OpenedRun, TrackedRun, Tracker } from "./tracker.ts";

/** Sends to a Trackio server. */
export class Trackio implements Tracker {
  readonly #settings: TrackerSettings;
  #run: TrackedRun | null = null;
  #config: Record<string, unknown> | null = null;

  constructor(settings: TrackerSettings) {
    this.#settings = settings;
  }

  /** There is nothing to begin: the run is made of its first rows, which carry its configuration. */
  async open(run: TrackedRun): Promise<OpenedRun> {
    this.#run = run;
    // names with an underscore first are Trackio's own
    this.#config = { ...run.config, _Username: null, _Created: new Date().toISOString(), _Group: null };
    const found = await this.#ask("get_run_summary", { project: this.#settings.project, run_id: run.key });
    return { isThere: !isRecord(found) || found["num_logs"] !== 0, isKept: true };
  }

  async send(rows: readonly MetricRow[]): Promise<void> {
    const { name, key } = this.#run ?? { name: "", key: "" };
    const logs = rows.map((row, i) => ({
      project: this.#settings.project,
      run: name,
      run_id: key,
      metrics: Object.fromEntries([
        ...numbersOf(row).map(([metric, value]) => [chartName(metric), jsonNumber(value)]),
        ["train/global_step", row.global_step],
      ]),
      step: row.global_step,
      log_id: `${key}-${isEvalRow(row) ? "eval" : "train"}-${row.global_step}`,
      config: i === 0 ? this.#config : null,
    }));
    await this.#ask("bulk_log", { logs, hf_token: null });
  }

  /** What a function of the server gives. */
  async #ask(name: string, kwargs: object): Promise<unknown> {
    const path = `/api/${name}`;
    const { value } = await askServer(this.#settings, { path, body: { args: [], kwargs } });
    const error = isRecord(value) ? value["error"] : "no object";
    if (isRecord(value) && (error === null || (error === undefined && "data" in value))) return value["data"];
    throw new EndpointError(`${this.#settings.address}${path}: ${JSON.stringify(error ?? value)}`, null);
  }

  async close(): Promise<void> {}

  dispose(): void {}
}

/** As Trackio's own client writes what JSON has no number for. */
function jsonNumber(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}
