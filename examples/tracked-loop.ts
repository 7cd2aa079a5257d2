/**
 * A training as a loop of events, whose figures go to a tracker by HTTP: sent beside the training, never waited for, and
 * given up, with one line, where they cannot be sent. TensorBoard, Trackio, MLflow and W&B need no program: `report_to` in the configuration.
 * Run: npm run ts -- examples/tracked-loop.ts URL MODEL_DIR PAIRS.jsonl OUTPUT_DIR
 */
import { train } from "preftune";

/** Sends rows one after another, in their order. */
class Tracker {
  #sent: Promise<void> = Promise.resolve();
  #trouble: string | null = null;
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  /** Sends `row` once those before it are sent. */
  send(row: Readonly<Record<string, unknown>>): void {
    this.#sent = this.#sent.then(() => this.#post(row));
  }

  async #post(row: Readonly<Record<string, unknown>>): Promise<void> {
    if (this.#trouble !== null) return;
    try {
      const request = { method: "POST", body: JSON.stringify(row), signal: AbortSignal.timeout(5000) };
      const { ok, status } = await fetch(this.#url, request);
      if (!ok) throw new Error(`status ${status}`);
    } catch (error) {
      this.#trouble = String(error);
      console.error(`the tracker gets no more rows: ${this.#trouble}`);
    }
  }

  /** Waits for what is under way. */
  async end(): Promise<void> {
    await this.#sent;
  }
}

const [url = "", model_name_or_path = "", train_data = "", output_dir = ""] = process.argv.slice(2);
const config = { model_name_or_path, train_data, output_dir, objective: "dpo", beta: 0.1 } as const;
const tracker = new Tracker(url);
for await (const event of train({ ...config, eval_fraction: 0.2, learning_rate: 1e-3, logging_steps: 1 })) {
  if (event.type === "log" || event.type === "evaluation") tracker.send(event.row);
  if (event.type === "end") console.log(`${event.summary.reason}; ${event.summary.report}`);
}
await tracker.end();
