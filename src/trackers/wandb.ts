/**
 * Weights & Biases through the user's own Python package, in a process of it: what of it is offline, where its files lie and
 * what key it has are that package's affair.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { EndpointError } from "../base/errors.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { isEvalRow, type MetricRow } from "../runs/metrics.ts";
import { chartName, numbersOf } from "../runs/tracker-names.ts";
import { withoutSecrets } from "./request.ts";
import type { TrackerSettings } from "./settings.ts";
import type { OpenedRun, RunEnd, TrackedRun, Tracker } from "./tracker.ts";

/** Seconds that an order may take: a start of Python and W&B's service, and an upload at the end. */
const orderSeconds = { open: 120, rows: 60, end: 120 } as const;
/** Characters of what it wrote last that a message shows. */
const shownCharacters = 400;

/** One order a line; `train/global_step` is the x axis, as in transformers. Rows carry W&B's own step, of which it takes each once. */
const program = `
import glob, json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import wandb

def is_there(run):
    if not run.offline:
        return run.resumed and run.starting_step > 0
    own = os.path.dirname(run.dir)
    there = glob.glob(os.path.join(glob.escape(os.path.dirname(own)), f"offline-run-*-{run.id}"))
    return any(os.path.realpath(path) != os.path.realpath(own) for path in there)

run = None
for line in sys.stdin:
    answer = {}
    try:
        order = json.loads(line)
        if "open" in order:
            run = wandb.init(resume="allow", settings=wandb.Settings(console="off"), **order["open"])
            run.define_metric("train/global_step")
            run.define_metric("*", step_metric="train/global_step", step_sync=True)
            answer = {"isThere": is_there(run), "isKept": run.offline}
        elif "rows" in order:
            for step, values in order["rows"]:
                run.log(values, step=step, commit=True)
        else:
            run.finish(exit_code=order["end"])
            run = None
    except BaseException as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)
if run is not None:
    run.finish()
`;

/** Sends to W&B. */
export class Wandb implements Tracker {
  readonly #settings: TrackerSettings;
  readonly #dir: string;
  #child: ChildProcess | null = null;
  #answers: AsyncIterator<string> | null = null;
  #written = "";

  /** @param dir - where W&B's files go unless WANDB_DIR says otherwise */
  constructor(settings: TrackerSettings, dir: string) {
    this.#settings = settings;
    this.#dir = process.env["WANDB_DIR"] ?? dir;
  }

  async open({ key, name, config }: TrackedRun): Promise<OpenedRun> {
    this.dispose();
    // of a group of its own: Ctrl-C is the run's affair, which says its end here
    const child = spawn(this.#settings.python ?? "python3", ["-u", "-c", program], { detached: true });
    this.#child = child;
    // a process that cannot be started or is gone gives no answer
    for (const part of [child, child.stdin]) part.on("error", (error) => (this.#written += error.message));
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#written = (this.#written + text).slice(-4000);
    });
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const { project } = this.#settings;
    return await this.#order<OpenedRun>(
      { open: { project, id: key, name, config, dir: this.#dir } },
      orderSeconds.open,
    );
  }

  async send(rows: readonly MetricRow[]): Promise<void> {
    const logged = rows.map((row) => {
      const numbers = numbersOf(row).map(([key, value]) => [chartName(key), value]);
      const step = 2 * row.global_step + (isEvalRow(row) ? 1 : 0);
      return [step, Object.fromEntries([...numbers, ["train/global_step", row.global_step]])];
    });
    await this.#order({ rows: logged }, orderSeconds.rows);
  }

  async close(end: RunEnd): Promise<void> {
    await this.#order({ end: end === "failed" ? 1 : 0 }, orderSeconds.end);
    this.dispose();
  }

  /** Closes what it reads from; the process then ends the run by itself. */
  dispose(): void {
    this.#child?.stdin?.end();
    this.#child?.unref();
    this.#child = null;
  }

  async #order<T>(order: object, seconds: number): Promise<T> {
    const { secrets } = this.#settings;
    const failed = (why: string): EndpointError =>
      new EndpointError(`W&B's Python package: ${withoutSecrets(why, secrets)}`, null);
    this.#child?.stdin?.write(`${stringifyNumbers(order)}\n`);
    const late = Promise.withResolvers<null>();
    const timer = setTimeout(() => late.resolve(null), 1000 * seconds);
    const answer = await Promise.race([this.#answers?.next(), late.promise]);
    clearTimeout(timer);
    if (answer === null) {
      this.#child?.kill("SIGKILL");
      throw failed(`no answer in ${seconds} s`);
    }
    if (answer === undefined || answer.done === true) {
      throw failed(`its process ended. ${this.#written.slice(-shownCharacters).trim()}`);
    }
    const said = JSON.parse(answer.value) as T & { error?: string };
    if (said.error !== undefined) throw failed(said.error);
    return said;
  }
}
