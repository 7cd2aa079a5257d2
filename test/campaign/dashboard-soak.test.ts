/**
 * An hour of a run, and ten pages that show it: memory and handles of the dashboard and of the pages stay as they are. The hour is one
 * of steps, a row a second and an evaluation a minute; it passes as fast as the pages take it, and `npm test` has a part of it.
 */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { CDPSession, Page } from "playwright-core";
import { streamTimes } from "../../src/dashboard/event-stream.ts";
import { idOf } from "../../src/dashboard/run-store.ts";
import { appendEvaluation } from "../../src/runs/evaluation-records.ts";
import { complaintsOf, skipsBrowser, startBrowser } from "../support/browser.ts";
import { amount } from "../support/campaign.ts";
import { fewRows, hostileKey, serveDashboard, writeRun } from "../support/dashboards.ts";
import { scratch } from "../support/scratch.ts";

const pages = amount(2, 10);
const rows = amount(60, 3600);
/** Rows between two evaluations. */
const every = amount(20, 60);
/** Rows in which code is compiled and caches fill. */
const warm = amount(20, 900);
/** Ms between two rows, and between two looks of a stream. */
const pace = 25;

const skip = process.platform === "linux" ? skipsBrowser : "counts what Linux lists";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const rowOf = (step: number): string =>
  `${JSON.stringify({
    ...{ global_step: step, epoch: step / 1000, loss: 1 / step, grad_norm: 0.5, learning_rate: 1e-5 },
    ...{ "rewards/margins": step / 1e4, "logps/chosen": -120, "logps/rejected": -130, step_time: 1 },
    ...{ num_tokens: 1000 * step, tokens_per_second: 1000, peak_memory_bytes: 2 ** 30 },
  })}\n`;

/** What one side holds. */
interface Held {
  handles: number;
  listeners: number;
  nodes: number;
  megabytes: number;
}

function heldHere(): Held {
  collect();
  return {
    handles: readdirSync("/proc/self/fd").length,
    listeners: process.getActiveResourcesInfo().length,
    nodes: 0,
    megabytes: process.memoryUsage().heapUsed / 2 ** 20,
  };
}

async function heldBy(session: CDPSession): Promise<Held> {
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const of = (wanted: string): number => metrics.find(({ name }) => name === wanted)?.value ?? Number.NaN;
  return {
    handles: of("Documents") + of("Frames"),
    listeners: of("JSEventListeners"),
    nodes: of("Nodes"),
    megabytes: of("JSHeapUsedSize") / 2 ** 20,
  };
}

const textOf = ({ handles, listeners, nodes, megabytes }: Held): string =>
  `${handles} handles, ${listeners} listeners, ${nodes} nodes, ${megabytes.toFixed(1)} MiB`;

/** Rows stay, in the page and in the dashboard: up to 4 KiB for each, and 6 MiB for what was not collected yet. */
function assertFlat(what: string, before: Held, after: Held): void {
  const told = `${what}: ${textOf(before)} before, ${textOf(after)} after`;
  assert.ok(after.handles <= before.handles, told);
  assert.ok(after.listeners <= before.listeners + 4, told);
  // an evaluation is a choice more in a list
  assert.ok(after.nodes <= before.nodes + 200 + (8 * rows) / every, told);
  assert.ok(after.megabytes <= before.megabytes + 6 + (4 * rows) / 1024, told);
}

test("an hour of a run in ten pages leaves memory and handles of both sides as they are", {
  skip,
}, async (t) => {
  const root = mkdtempSync(join(scratch(), "preftune-soak-"));
  const dir = writeRun(root, "a", fewRows);
  const times = { ...streamTimes };
  streamTimes.tick = pace;
  const { dashboard, faults } = await serveDashboard(root);
  const browser = await startBrowser();
  try {
    const alone = heldHere();
    const place = `#/runs/${idOf(realpathSync(dir))}`;
    const opened: { page: Page; session: CDPSession; complaints: string[] }[] = [];
    for (let i = 0; i < pages; i++) {
      // a browser of its own: one has six connections to an address, and a page that is looked at keeps one
      const context = await browser.newContext();
      const page = await context.newPage();
      const complaints = complaintsOf(page);
      await page.goto(dashboard.link());
      await page.getByRole("link", { name: "a", exact: true }).waitFor();
      await page.goto(new URL(place, page.url()).href);
      const session = await context.newCDPSession(page);
      await session.send("Performance.enable");
      opened.push({ page, session, complaints });
    }
    let step = 10;
    const passTo = async (end: number): Promise<void> => {
      while (step < end) {
        step++;
        appendFileSync(join(dir, "metrics.jsonl"), rowOf(step));
        if (step % every === 0) await evaluated(dir, step, opened);
        else await new Promise((done) => setTimeout(done, pace));
      }
    };
    const look = async (): Promise<[Held, Held[]]> => {
      const held = await Promise.all(opened.map(({ session }) => heldBy(session)));
      return [heldHere(), held];
    };
    await passTo(warm);
    const [here, there] = await look();
    await passTo(rows);
    const [hereNow, thereNow] = await look();
    t.diagnostic(`dashboard: ${textOf(here)}; after ${rows} rows ${textOf(hereNow)}`);
    assertFlat("the dashboard", here, hereNow);
    for (const [i, held] of there.entries()) {
      const now = thereNow[i] ?? assert.fail();
      if (i === 0) t.diagnostic(`a page: ${textOf(held)}; after ${rows} rows ${textOf(now)}`);
      assertFlat(`page ${i}`, held, now);
    }
    for (const { page, complaints } of opened) {
      assert.deepEqual(complaints, []);
      await page.context().close();
    }
    // closed pages give back what they held: their connections, timers and places
    for (let i = 0; i < 600 && heldHere().handles > alone.handles; i++)
      await new Promise((done) => setTimeout(done, 100));
    assert.ok(heldHere().handles <= alone.handles, `${textOf(alone)} before, ${textOf(heldHere())} after`);
    assert.deepEqual(faults, []);
  } finally {
    Object.assign(streamTimes, times);
    await browser.close();
    await dashboard.close();
    rmSync(root, { recursive: true, force: true });
  }
});

/** An evaluation, which every page shows before the run goes on. */
async function evaluated(dir: string, step: number, opened: readonly { page: Page }[]): Promise<void> {
  appendEvaluation(join(dir, "evaluations.jsonl"), {
    ...{ global_step: step, rejected_logps: { width: 0.5, counts: [3, 1] }, samples: [] },
    ...{
      pair_changes: [[step / 1e4, -step / 1e3]],
      pair_rows: [["eval.jsonl:2", hostileKey]],
      pair_margins: [0.5],
    },
  });
  for (const { page } of opened) {
    await page.getByText(`at step ${step}`).first().waitFor();
    await page.locator(`option[value="${step}"]`).waitFor({ state: "attached" });
  }
}
