/**
 * Nightly: 500 runs of 10,000 lines, the list once it is indexed, the first chart, memory; the figures of docs/dashboard.md. That what is
 * indexed is not read again, run-store.test.ts tests each time.
 */
import assert from "node:assert/strict";
import { cpSync, linkSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cpuMsOf } from "../../src/base/process-state.ts";
import { idOf } from "../../src/dashboard/run-store.ts";
import type { Summary } from "../../src/dashboard/run-summary.ts";
import type { MetricRow } from "../../src/runs/metrics.ts";
import { isNightly } from "../support/campaign.ts";
import { startDashboard, writeRun } from "../support/dashboards.ts";
import { scratch } from "../support/scratch.ts";

const [runs, lines] = [500, 10_000];
const skip = isNightly && process.platform === "linux" ? false : "a nightly test, of what Linux counts";

/** What a run logs at a step. */
const rowOf = (i: number): MetricRow => ({
  ...{ global_step: i, epoch: i / 1000, loss: 1 / (1 + i), grad_norm: Math.sin(i), learning_rate: 1e-5 },
  ...{ "rewards/margins": i / 1e4, "logps/chosen": -120 - i / 1e3, "logps/rejected": -130, step_time: 0.2 },
  ...{ num_tokens: 1000 * i, tokens_per_second: 5000, peak_memory_bytes: 2 ** 30 },
});

/** Many runs; what is the same in all is on the disk once. */
function writeRuns(root: string): string[] {
  const first = writeRun(
    root,
    "r0",
    Array.from({ length: lines }, (_, i) => rowOf(i + 1)),
  );
  const dirs = Array.from({ length: runs - 1 }, (_, i) => {
    const dir = join(root, `r${i + 1}`);
    mkdirSync(dir);
    for (const name of ["run.json", "log.jsonl", "evaluations.jsonl"])
      cpSync(join(first, name), join(dir, name));
    linkSync(join(first, "metrics.jsonl"), join(dir, "metrics.jsonl"));
    return dir;
  });
  return [first, ...dirs];
}

/** A dashboard in a process of its own. */
async function dashboardOf(root: string): Promise<{
  pid: number;
  get: (path: string) => Promise<{ body: unknown; ms: number; computedMs: number; bytes: number }>;
  end: () => Promise<void>;
}> {
  const { running, link } = await startDashboard(root);
  const { pid = 0 } = running.child;
  const [url = "", token = ""] = link.split("/#token=");
  const headers = { "content-type": "application/json" };
  const session = await fetch(`${url}/api/session`, {
    method: "POST",
    body: JSON.stringify({ token }),
    headers,
  });
  const [cookie = ""] = (session.headers.get("set-cookie") ?? "").split(";");
  const get = async (path: string) => {
    const [began, computed] = [performance.now(), cpuMsOf(pid) ?? Number.NaN];
    const answer = await fetch(`${url}${path}`, { headers: { cookie } });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    const computedMs = (cpuMsOf(pid) ?? Number.NaN) - computed;
    return {
      ...{ body: JSON.parse(text) as unknown, ms: performance.now() - began },
      ...{ computedMs, bytes: text.length },
    };
  };
  const end = async (): Promise<void> => {
    running.child.kill("SIGTERM");
    await running.ended;
  };
  return { pid, get, end };
}

/** Bytes that a process has read by system calls, and the most memory that it had, both so far. */
function figuresOf(pid: number): { read: number; peakMiB: number } {
  const number = (file: string, name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/${file}`, "utf8"))?.[1]);
  return { read: number("io", "rchar"), peakMiB: number("status", "VmHWM") / 1024 };
}

test(`${runs} runs of ${lines} lines: indexed once, listed and drawn from the index`, { skip }, async () => {
  const root = mkdtempSync(join(scratch(), "preftune-many-"));
  try {
    const dirs = writeRuns(root);
    const size = readFileSync(join(root, "r0", "metrics.jsonl")).length;
    const first = await dashboardOf(root);
    const indexing = await first.get("/api/runs");
    assert.equal((indexing.body as { runs: Summary[] }).runs.length, runs);
    const again = await first.get("/api/runs");
    const indexed = figuresOf(first.pid);
    await first.end();

    const second = await dashboardOf(root);
    const started = figuresOf(second.pid).read;
    const list = await second.get("/api/runs");
    const read = figuresOf(second.pid).read - started;
    assert.ok((list.body as { runs: Summary[] }).runs.every(({ step }) => step === lines));
    assert.ok(
      read < (runs * size) / 2,
      `${read} bytes read for a list of files with ${runs * size}: they were indexed`,
    );
    const chart = await second.get(`/api/runs/${idOf(realpathSync(dirs.at(-1) ?? ""))}/curves`);
    const { peakMiB } = figuresOf(second.pid);
    await second.end();
    const rate = (runs * size) / 2 ** 20 / (indexing.ms / 1000);
    console.log(
      `indexed at ${rate.toFixed(0)} MiB/s in ${(indexing.ms / 1000).toFixed(1)} s with at most ${indexed.peakMiB.toFixed(0)} MiB; ` +
        `list again ${again.ms.toFixed(0)} ms, after a restart ${list.ms.toFixed(0)} ms; chart ${chart.ms.toFixed(0)} ms, ${chart.bytes} bytes; ${peakMiB.toFixed(0)} MiB`,
    );
    // what else the machine does is not counted
    for (const [what, { computedMs }, most] of [
      ["list again", again, 1000],
      ["list after a restart", list, 1000],
      ["first chart", chart, 500],
    ] as const)
      assert.ok(computedMs < most, `${what}: ${computedMs} ms of processor time`);
    assert.ok(Math.max(indexed.peakMiB, peakMiB) < 300, `${indexed.peakMiB} and ${peakMiB} MiB`);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
