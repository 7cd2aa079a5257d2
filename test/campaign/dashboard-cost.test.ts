/**
 * Nightly: what an open page costs a run: processor time of the dashboard's process over that of the run, for the same steps. A run on two cores
 * that loses 2 % of its speed would lose 2 % of its processor time to it. The figure is in docs/dashboard.md.
 */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { idOf } from "../../src/dashboard/run-store.ts";
import { isNightly } from "../support/campaign.ts";
import { start } from "../support/command.ts";
import { startDashboard } from "../support/dashboards.ts";
import { scratch } from "../support/scratch.ts";
import { makeTinyModel, pairRows, writeRows } from "../support/tiny-model.ts";

const steps = 400;
/** Steps in which code is compiled and the page is opened. */
const warm = 40;

/** Seconds of processor time of a process that is there, all of its threads. */
function secondsOf(pid: number): number {
  const folder = `/proc/${pid}/task`;
  const nanoseconds = readdirSync(folder).map((task) => {
    try {
      return Number(readFileSync(join(folder, task, "schedstat"), "utf8").split(" ")[0]);
    } catch {
      return 0;
    }
  });
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e9;
}

/** What a page of a run asks for: its curves, the stream, and after an evaluation what is shown of it. */
async function openPage(url: string, cookie: string, id: string): Promise<AbortController> {
  const ask = async (path: string): Promise<unknown> =>
    await (await fetch(`${url}${path}`, { headers: { cookie } })).json();
  const { place } = (await ask(`/api/runs/${id}/curves`)) as { place: string };
  const left = new AbortController();
  const stream = await fetch(`${url}/api/stream?runs=${id}@${place}`, {
    headers: { cookie },
    signal: left.signal,
  });
  assert.equal(stream.status, 200);
  void (async () => {
    for await (const chunk of stream.body ?? []) {
      if (!Buffer.from(chunk).includes("event: evaluations")) continue;
      const { steps: known } = (await ask(`/api/runs/${id}/sections`)) as { steps: number[] };
      await ask(`/api/runs/${id}/evaluations/${known.at(-1)}`);
    }
  })().catch((error: Error) => assert.equal(error.name, "AbortError"));
  return left;
}

async function logIn(link: string): Promise<{ url: string; cookie: string }> {
  const [url = "", token = ""] = link.split("/#token=");
  const answer = await fetch(`${url}/api/session`, {
    method: "POST",
    body: JSON.stringify({ token }),
    headers: { "content-type": "application/json" },
  });
  return { url, cookie: (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "" };
}

const skip = isNightly && process.platform === "linux" ? false : "a nightly test, of what Linux counts";

test("an open page takes less than 2 % of a run's processor time", { skip }, async (t) => {
  const root = mkdtempSync(join(scratch(), "preftune-cost-"));
  const runs = join(root, "runs");
  const dir = join(runs, "a");
  mkdirSync(runs);
  const values = {
    model_name_or_path: makeTinyModel(join(root, "base"), {
      config: { hidden_size: 256, intermediate_size: 1024, num_hidden_layers: 4, head_dim: 32 },
    }),
    train_data: writeRows(join(root, "train.jsonl"), pairRows(256)),
    eval_fraction: 0.125,
    ...{ output_dir: dir, device: "cpu", dtype: "float32", threads: 2, max_steps: steps, logging_steps: 1 },
    ...{ per_device_train_batch_size: 16, eval_strategy: "steps", eval_steps: 20, save_strategy: "no" },
  };
  const { running, link } = await startDashboard(runs);
  const { url, cookie } = await logIn(link);
  const config = join(root, "run.yaml");
  writeFileSync(config, JSON.stringify(values));
  const run = start(["train", config]);
  const [page, trainer] = [running.child.pid ?? 0, run.child.pid ?? 0];
  const metrics = join(dir, "metrics.jsonl");
  const step = (): number => (existsSync(metrics) ? readFileSync(metrics, "utf8").split("\n").length - 1 : 0);
  try {
    while (step() === 0 && run.child.exitCode === null) await setTimeout(20);
    if (run.child.exitCode !== null) assert.fail((await run.ended).stderr);
    const left = await openPage(url, cookie, idOf(realpathSync(dir)));
    while (step() < warm && run.child.exitCode === null) await setTimeout(10);
    const before = {
      step: step(),
      page: secondsOf(page),
      trainer: secondsOf(trainer),
      at: performance.now(),
    };
    let after = before;
    while (step() < steps && run.child.exitCode === null) {
      after = { step: step(), page: secondsOf(page), trainer: secondsOf(trainer), at: performance.now() };
      await setTimeout(50);
    }
    left.abort();
    const spent = { page: after.page - before.page, trainer: after.trainer - before.trainer };
    const share = spent.page / spent.trainer;
    t.diagnostic(
      `${after.step - before.step} steps in ${((after.at - before.at) / 1000).toFixed(1)} s: the run took ${spent.trainer.toFixed(2)} s of processor time, ` +
        `the dashboard ${spent.page.toFixed(3)} s, ${(100 * share).toFixed(2)} %`,
    );
    assert.ok(after.step > before.step, (await run.ended).stderr);
    assert.ok(share < 0.02, `${(100 * share).toFixed(2)} % of the run's processor time`);
  } finally {
    run.child.kill("SIGKILL");
    running.child.kill("SIGTERM");
    await Promise.all([run.ended, running.ended]);
    rmSync(root, { recursive: true, force: true });
  }
});
