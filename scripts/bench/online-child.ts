/** Child program, `online-child.ts PLAN`: one on-policy run of ours, as `preftune train` makes it; one JSON line (`OnlineRecord`). */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/load-config.ts";
import { train } from "../../src/recipes/train.ts";
import { inOrderOfRun, type OnlineMethod, type OnlinePlan, type OnlineRecord } from "./online-record.ts";
import { barePeakMb, peakMb } from "./peak.ts";

/** What each method is here, with the values that TRL's trainer has. */
const methods: Readonly<Record<OnlineMethod, Record<string, unknown>>> = {
  grpo: { objective: "grpo", preset: "trl", beta: 0 },
  rloo: { objective: "rloo", beta: 0 },
  online_dpo: { objective: "dpo", beta: 0.1 },
};

const rewards: Readonly<Record<OnlinePlan["reward"], unknown>> = {
  even_share: `${join(import.meta.dirname, "even-share.mjs")}#evenShare`,
  exact: { function: "exact", column: "chosen" },
};

/** After the last step alone: the steps are measured, and evaluations are not theirs. */
function evaluationValues({ held, steps }: OnlinePlan): Record<string, unknown> {
  if (held === null) return { eval_strategy: "no" };
  return { eval_strategy: "steps", eval_steps: steps, eval_on_start: false, num_generations_eval: 2 };
}

const lora = { use_peft: true, lora_r: 64, lora_alpha: 128, lora_dropout: 0 };

function valuesOf(plan: OnlinePlan, output: string): Record<string, unknown> {
  return {
    model_name_or_path: plan.modelDir,
    output_dir: join(output, "run"),
    train_data: join(output, "prompts.jsonl"),
    eval_data: plan.held,
    seed: plan.seed,
    ...methods[plan.method],
    ...(plan.mode === "lora" ? lora : {}),
    reward_funcs: [rewards[plan.reward]],
    reward_workers: 1,
    num_generations: plan.group,
    max_completion_length: plan.newTokens,
    per_device_train_batch_size: plan.promptsAStep * plan.group,
    max_steps: plan.steps,
    learning_rate: plan.learningRate,
    adam_beta2: plan.adamBeta2,
    lr_scheduler_type: "constant",
    warmup_ratio: 0,
    max_grad_norm: 1,
    weight_decay: 0,
    ...{ device: "cpu", dtype: "float32", threads: plan.threads, gradient_checkpointing: false },
    ...{ logging_steps: 1, save_strategy: "no", ...evaluationValues(plan) },
  };
}

async function run(plan: OnlinePlan): Promise<OnlineRecord> {
  const bareMb = barePeakMb();
  const record: OnlineRecord = {
    ...{ seconds: [], cpuSeconds: [], samplingSeconds: [], scoringSeconds: [], tokens: [], rewards: [] },
    ...{ heldOut: null, peakMb: 0, bareMb },
  };
  const output = mkdtempSync(join(tmpdir(), "preftune-bench-"));
  const rows = readFileSync(plan.rows, "utf8").trim().split("\n");
  writeFileSync(join(output, "prompts.jsonl"), inOrderOfRun(rows, plan.seed).join("\n"));
  const samples = plan.promptsAStep * plan.group;
  let [began, cpu] = [performance.now(), process.cpuUsage()];
  try {
    for await (const event of train(loadConfig({ values: valuesOf(plan, output) }))) {
      if (event.type === "start") [began, cpu] = [performance.now(), process.cpuUsage()];
      if (event.type === "evaluation") record.heldOut = Number(event.row["eval_reward"]);
      if (event.type !== "log") continue;
      const { user, system } = process.cpuUsage(cpu);
      const of = (name: string): number => Number(event.row[name]);
      const tokens = samples * of("completions/mean_length");
      record.seconds.push((performance.now() - began) / 1000);
      record.cpuSeconds.push((user + system) / 1e6);
      record.tokens.push(tokens);
      record.samplingSeconds.push(tokens / of("speed/sampling_tokens_per_second"));
      record.scoringSeconds.push(samples / of("speed/scoring_completions_per_second"));
      record.rewards.push(of("reward"));
      record.peakMb = peakMb();
      [began, cpu] = [performance.now(), process.cpuUsage()];
    }
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
  return record;
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2] ?? "{}") as OnlinePlan))}\n`);
