/**
 * Faulty rewards and a faulty judge in one run of 20 steps: it ends, each fault is counted and named, and its weights are those of a run
 * in which the faulty completions were unscorable from the start.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import { type ChatAnswer, type ChatCall, startJudge } from "../support/judge-server.ts";
import { onlineFixture } from "../support/online-run.ts";
import { checkpointOf, filesOf, notesOf, type RunRecord, runTraining, type Values } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());
const steps = 20;

/** Completions whose first id is 1 modulo 4 are at fault: some hang, the others throw, exit or give NaN by turns. */
const faulty = (fault: string): string => `
export function reward({ completion_ids, step }) {
  return completion_ids.map((ids) => {
    if (ids[0] % 4 !== 1) return ids.filter((id) => id % 2 === 0).length / Math.max(1, ids.length);
    ${fault}
  });
}
`;
const faults = `
    if (step === 3 && ids[0] % 8 === 1) for (;;);
    if (step === 5) process.exit(3);
    if (step % 2 === 0) throw new Error("no reward today");
    return NaN;`;

/** The judge's rule: no mark where it answers with garbage. */
const isGarbage = (text: string): boolean => text.trim().length % 5 === 4;

/** Both rewards in one function, which scores nothing where one of them is at fault. */
const both = `
export function sum({ completion_ids, completions }) {
  return completion_ids.map((ids, i) => {
    const { length } = completions[i].trim();
    if (ids[0] % 4 === 1 || length % 5 === 4) return null;
    return ids.filter((id) => id % 2 === 0).length / Math.max(1, ids.length) + 1 + (length % 10);
  });
}
`;

function markOf(answer: string): ChatAnswer {
  const { length } = answer.trim();
  return isGarbage(answer) ? "I would rather not say." : `Rating: [[${1 + (length % 10)}]]`;
}

/**
 * One text in four fails once before it is answered: 429 and 500 in turn, the first of all by a connection that ends, the second by
 * silence.
 *
 * @param unanswered - is given the text that is met with silence
 * @param failed - is given each text that fails
 */
function faultyJudge(
  unanswered: string[],
  failed: Set<string>,
): (call: ChatCall, before: number) => ChatAnswer {
  const headers = { "retry-after-ms": "1" };
  return ({ text }, before) => {
    if (before % 4 === 0 && !failed.has(text)) {
      failed.add(text);
      if (failed.size === 1) return "hang up";
      if (failed.size === 2) {
        unanswered.push(text);
        return "no answer";
      }
      return { status: failed.size % 2 === 0 ? 429 : 500, headers };
    }
    return markOf(/<answer>\n([\s\S]*)\n<\/answer>/.exec(text)?.[1] ?? "");
  };
}

async function run(name: string, values: Values): Promise<{ dir: string; record: RunRecord }> {
  const dir = fixture.path(name);
  const limits = { reward_max_failures: 1, reward_workers: 2, reward_timeout: 5 };
  const schedule = { max_steps: steps, lr_scheduler_type: "constant", save_steps: steps };
  const record = await runTraining({ ...fixture.online, ...limits, ...schedule, ...values, output_dir: dir });
  return { dir, record };
}

function moduleOf(name: string, text: string): string {
  const path = fixture.path(name);
  writeFileSync(path, text);
  return path;
}

/** A run waits two minutes for its judge: here two seconds. */
function shortenTimeOuts(t: TestContext): void {
  const { timeout } = AbortSignal;
  t.mock.method(AbortSignal, "timeout", (ms: number) =>
    timeout.call(AbortSignal, ms === 120_000 ? 2000 : ms),
  );
}

test("rewards that hang, throw, exit or give NaN and a judge with 429, 500, silence, broken connections and garbage", async (t) => {
  const { dir: clean } = await run("clean", {
    reward_funcs: [`${moduleOf("both.mjs", both)}#sum`],
  });
  const [unanswered, failed] = [[] as string[], new Set<string>()];
  await using server = await startJudge(faultyJudge(unanswered, failed));
  shortenTimeOuts(t);
  const { dir, record } = await run("faulty", {
    reward_funcs: [{ function: `${moduleOf("faulty.mjs", faulty(faults))}#reward`, name: "fault" }],
    judge: `${server.baseUrl}#m`,
  });
  const weights = (of: string) => filesOf(checkpointOf(of, steps))["model.safetensors"];
  assert.equal(weights(dir), weights(clean));
  assert.equal(unanswered.length, 1);
  assert.ok(
    server.calls.filter(({ text }) => text === unanswered[0]).length >= 2,
    "asked again after silence",
  );
  const sumOf = (of: string, metric: string): number =>
    readMetrics(join(of, "metrics.jsonl")).reduce((sum, row) => sum + Number(row[metric] ?? 0), 0);
  const sampled = readRollouts(join(dir, "rollouts.jsonl.gz"));
  const nulls = sampled.filter(({ ids }) => (ids[0] ?? 0) % 4 === 1).length;
  const silent = sampled.filter(({ completion }) => isGarbage(completion)).length;
  const [unscored, failures, notFinite] = ["unscored", "failures", "not_finite"].map((count) =>
    sumOf(dir, `rewards/fault/${count}`),
  ) as [number, number, number];
  assert.ok(notFinite > 0 && failures > notFinite && silent > 0, `${notFinite}, ${failures}, ${silent}`);
  assert.deepEqual([unscored, failures], [0, nulls]);
  assert.ok(failed.size >= 4, `${failed.size}`);
  assert.equal(readMetrics(join(dir, "metrics.jsonl")).at(-1)?.["rewards/judge/retries"], failed.size);
  assert.equal(sumOf(dir, "rewards/judge/failures") + sumOf(dir, "rewards/judge/unscored"), silent);
  const named = notesOf(record).filter((text) => text.startsWith("reward "));
  const says = [
    /^reward fault gave no finite number for a completion of .*prompts\.jsonl:\d/,
    /^reward fault failed on a completion of .*prompts\.jsonl:\d+: .*(no reward today|3)/,
    /^reward fault was stopped at reward_timeout on a completion of .*prompts\.jsonl:\d/,
    /^reward judge failed on a completion of .*prompts\.jsonl:\d+: .*I would rather not say/,
  ];
  for (const pattern of says)
    assert.equal(named.filter((text) => pattern.test(text)).length, 1, named.join("\n"));
});
