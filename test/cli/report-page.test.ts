/** Reports in a real browser: of a run with all that is measured of drift and scale, of two, and of an on-policy one; desktop and phone, light and dark. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { writeComparison } from "../../src/report/comparison.ts";
import { writeReport } from "../../src/report/run-report.ts";
import { appendEvaluation } from "../../src/runs/evaluation-records.ts";
import { type ScaleRecord, type ScaleRow, scalePath } from "../../src/runs/scale-record.ts";
import { assertInOrder, complaintsOf, looks, skipsBrowser, startBrowser } from "../support/browser.ts";
import { hostile, writeRun } from "../support/dashboards.ts";
import { onlineFixture } from "../support/online-run.ts";
import { runTraining } from "../support/runs.ts";

const steps = [0, 20, 40, 60];
const longWord = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft";

/** What an evaluation at a step, or of a scale, has. */
const figuresAt = (part: number): Record<string, number> => ({
  "logps/chosen_delta_init": 0.03 * part - 0.02 * part ** 2,
  "logps/rejected_delta_init": -1.2 * part ** 2,
  "logps/accuracies": 0.5 + 0.4 * part,
  "displacement/frac_chosen_down": 0.3 * part,
  "displacement/frac_both_down": 0.2 * part,
  "displacement/frac_both_up": 0.1 * part,
  "displacement/token_change_mean_abs": 0.4 * part,
  "displacement/token_change_p01": -2 * part,
  "displacement/rejected_token_change_mean_abs": 0.9 * part,
  "displacement/rejected_token_change_p01": -6 * part,
  "displacement/other_text_change": -0.05 * part,
});

const held = (part: number): Record<string, number> =>
  Object.fromEntries(Object.entries(figuresAt(part)).map(([key, value]) => [`eval_${key}`, value]));

function scaleRow(scale: number): ScaleRow {
  const answer = `At ${scale} the model says ${longWord}. ${hostile.chosen[0]?.content}`;
  return { scale, figures: figuresAt(scale), answers: [{ prompt: "Where is Ann?", answer }] };
}

const scales: ScaleRecord = {
  ...{
    pairs: 160,
    other_text: "prompts of the training rows",
    rows: [0, 0.25, 0.5, 0.75, 1, 1.5].map(scaleRow),
  },
  choice: {
    rule: { max: "margin", chosen_min: 0, tail_min: -2 },
    ...{
      scale: 0.75,
      best: 1,
      allowed: [0.25, 0.5, 0.75, 1],
      isUndecided: false,
      choosing: 80,
      reporting: 80,
    },
    figures: {
      chosen: { value: 0.01, low: -0.01, high: 0.03 },
      margin: { value: 0.7, low: 0.6, high: 0.8 },
      accuracy: { value: 0.8, low: 0.7, high: 0.9 },
      ...{ drift: 0.3, tail: -1.5 },
    },
  },
};

/** A run with all of it. */
function fullRun(root: string, name: string): string {
  const rows = steps.map((step) => ({ global_step: step, epoch: step / 60, ...held(step / 60) }));
  const dir = writeRun(root, name, rows);
  appendEvaluation(join(dir, "evaluations.jsonl"), {
    ...{ global_step: 60, rejected_logps: { width: 0.5, counts: [30, 20, 12, 5, 1] }, other_text: "prompts" },
    ...{
      pair_changes: [
        [0.6, -6],
        [-0.4, -2],
      ],
      pair_rows: [
        ["eval.jsonl:1", "a"],
        ["eval.jsonl:2", "b"],
      ],
    },
    pair_margins: [0.5, -0.1],
    fallen_tokens: [`${longWord}`, " <script>alert(2)</script>", " good"].map((token, i) => ({
      ...{ row: `eval.jsonl:${i + 1}`, before: "The answer is that it", token, after: " and then on." },
      ...{ change: -4 + i, logp: -6 + i },
    })),
    samples: [
      {
        prompt: hostile.prompt[0]?.content ?? "",
        answers: [{ text: `**now** ${longWord} `.repeat(30), ended: true }],
      },
    ],
  });
  writeFileSync(scalePath(dir), JSON.stringify(scales));
  return dir;
}

/** Asserts that the page has `wanted` and is in order, in every look. */
async function lookAt(page: Page, path: string, wanted: readonly string[]): Promise<void> {
  for (const { name, width, colorScheme } of looks) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme });
    await page.goto(pathToFileURL(path).href);
    for (const text of wanted) await page.getByText(text).first().waitFor({ state: "attached" });
    await assertInOrder(page, `${path}, ${name}`);
  }
}

test("reports with drift, tail, worst tokens and scales: no sideways scroll, no message, nothing serious by axe-core", {
  skip: skipsBrowser,
}, async () => {
  const root = mkdtempSync(join(tmpdir(), "preftune-report-page-"));
  const browser = await startBrowser();
  try {
    const [one, other] = [fullRun(root, "one"), fullRun(root, "other")];
    const both = join(root, "both.html");
    writeComparison([one, other], both);
    const pages = [
      [writeReport(one), ["How much of it to take?", "Tokens of chosen answers that lost most", "Tail"]],
      [both, ["drift, nats"]],
    ] as const;
    const page = await (await browser.newContext()).newPage();
    const complaints = complaintsOf(page);
    for (const [path, wanted] of pages) await lookAt(page, path, wanted);
    // the row of scales by keys: the answers of the scale that is picked, and of no other
    await page.goto(pathToFileURL(pages[0][0]).href);
    await page.getByRole("radio", { name: "0.75" }).focus();
    await page.getByText("At 0.75 the model says").waitFor();
    await page.keyboard.press("ArrowRight");
    await page.getByText("At 1 the model says").waitFor();
    assert.equal(await page.getByText("At 0.75 the model says").isVisible(), false);
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
    rmSync(root, { recursive: true, force: true });
  }
});

test("the report of an on-policy run: rewards, what they cost and completions, in order too", {
  skip: skipsBrowser,
}, async () => {
  using fixture = onlineFixture({ held: 3 });
  const dir = fixture.path("on-policy");
  await runTraining({
    ...fixture.online,
    ...{ output_dir: dir, eval_reward_funcs: [`${fixture.rewards}#shorter`], eval_steps: 2 },
    ...{ eval_on_start: true, watch_prompts: null },
  });
  const browser = await startBrowser();
  try {
    const page = await (await browser.newContext()).newPage();
    const complaints = complaintsOf(page);
    await lookAt(page, writeReport(dir), ["What does the reward cost?", "Sampler against trainer"]);
    // evaluations at the start and after two and four steps
    for (const title of ["Reward against KL", "Proxy against gold", "Good completions against reward"]) {
      const chart = page.getByLabel(`${title}: 3 points`);
      await chart.scrollIntoViewIfNeeded();
      assert.ok(await chart.isVisible(), title);
      assert.equal(await chart.locator("circle.dot").count(), 3, title);
    }
    // the completions of the rollouts, whose prompts stand beside them
    assert.ok((await page.getByText(/prompts\.jsonl:\d/).count()) > 0);
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
  }
});
