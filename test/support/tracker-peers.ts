/** Trackio, MLflow and W&B for tests (`npm run peers -- --trackers`): their servers, and what they say they have. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { freePort } from "./rank-processes.ts";

/** The folder of their programs. */
export const trackerPrograms: string = resolve(import.meta.dirname, "../../.preftune/peers-trackers/bin");

/** For `test(name, { skip: skipWithoutTrackers() }, ...)`: false when they are there, else the reason to print. */
export function skipWithoutTrackers(): false | string {
  return existsSync(join(trackerPrograms, "../preftune-stamp"))
    ? false
    : 'no Trackio, MLflow and W&B; "npm run peers -- --trackers" installs them';
}

const showTrackio = `
import time, trackio
trackio.show(block_thread=False, open_browser=False)
while True:
    time.sleep(1)
`;

/** A server that can be killed and started again on its data. */
export class PeerServer implements AsyncDisposable {
  readonly url: string;
  readonly #start: () => ChildProcess;
  #child: ChildProcess | null = null;

  private constructor(url: string, start: () => ChildProcess) {
    this.url = url;
    this.#start = start;
  }

  /** MLflow's, with its data base in `dir`. */
  static async mlflow(dir: string): Promise<PeerServer> {
    const port = await freePort();
    const args = ["server", "--host", "127.0.0.1", "--port", String(port), "--workers", "1"];
    const env = { ...process.env, MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false" };
    return started(port, () =>
      spawn(join(trackerPrograms, "mlflow"), args, { cwd: dir, env, stdio: "ignore", detached: true }),
    );
  }

  /** Trackio's, with its data in `dir`. */
  static async trackio(dir: string, key: string): Promise<PeerServer> {
    const port = await freePort();
    const env = {
      ...process.env,
      TRACKIO_DIR: dir,
      TRACKIO_WRITE_TOKEN: key,
      GRADIO_SERVER_PORT: String(port),
    };
    const python = join(trackerPrograms, "python");
    return started(port, () => spawn(python, ["-c", showTrackio], { env, stdio: "ignore", detached: true }));
  }

  static of(url: string, start: () => ChildProcess): PeerServer {
    return new PeerServer(url, start);
  }

  /** Starts it and waits until it answers. */
  async begin(): Promise<void> {
    this.#child = this.#start();
    for (let i = 0; i < 1200; i++) {
      const isThere = await fetch(this.url).then(
        () => true,
        () => false,
      );
      if (isThere) return;
      await setTimeout(100);
    }
    throw new Error(`no answer from ${this.url}`);
  }

  /** Kills it and what it started. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child?.pid === undefined) return;
    const closed = once(child, "close");
    process.kill(-child.pid, "SIGKILL");
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

async function started(port: number, start: () => ChildProcess): Promise<PeerServer> {
  const server = PeerServer.of(`http://127.0.0.1:${port}`, start);
  await server.begin();
  return server;
}

/** Reads what each has of the run with these keys: lists of [step, name, value as Python writes it]. */
const readBack = `
import glob, json, sys
asked = json.load(sys.stdin)
from mlflow.tracking import MlflowClient
client = MlflowClient()
experiment = client.get_experiment_by_name(asked["project"])
(run,) = client.search_runs([experiment.experiment_id], f"tags.\`preftune.run\` = '{asked['keys']['mlflow']}'")
history = [m for name in run.data.metrics for m in client.get_metric_history(run.info.run_id, name)]
mlflow = {
    "points": [[m.step, m.key, repr(m.value)] for m in history],
    "status": run.info.status,
    "params": run.data.params,
}

from trackio.sqlite_storage import SQLiteStorage
own = {"timestamp", "step"}
logs = SQLiteStorage.get_logs(asked["project"], None, run_id=asked["keys"]["trackio"])
trackio = [[row["step"], name, repr(value)] for row in logs for name, value in row.items() if name not in own]

from wandb.proto import wandb_internal_pb2
def records(path):
    data = open(path, "rb").read()
    at, part = 7, b""
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        size = int.from_bytes(data[at + 4 : at + 6], "little")
        part += data[at + 7 : at + 7 + size]
        is_last = data[at + 6] in (1, 4)
        at += 7 + size
        if is_last:
            yield part
            part = b""
wandb = []
for path in sorted(glob.glob(f"{asked['dir']}/wandb/offline-run-*-{asked['keys']['wandb']}/*.wandb")):
    for data in records(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") != "history":
            continue
        row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        wandb += [[row["_step"], name, repr(value)] for name, value in row.items() if not name.startswith("_")]
print(json.dumps({"mlflow": mlflow, "trackio": trackio, "wandb": wandb}))
`;

/** A number at a tracker: step, name, and the value as Python writes it. */
export type PeerPoint = [step: number, name: string, value: string];

/** What the trackers have of a run. */
export interface PeerAnswer {
  mlflow: { points: PeerPoint[]; status: string; params: Record<string, string> };
  trackio: PeerPoint[];
  wandb: PeerPoint[];
}

/** Asks the trackers' own packages, with their environment variables set. */
export function askTrackers(asked: object, env: Record<string, string>): PeerAnswer {
  const { status, stdout, stderr } = spawnSync(join(trackerPrograms, "python"), ["-c", readBack], {
    input: JSON.stringify(asked),
    env: { ...process.env, ...env },
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as PeerAnswer;
}
