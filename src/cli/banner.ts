/** What a run is, in a few lines before it starts. */
import { counted } from "../base/number-text.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import { valueText } from "../config/print-config.ts";
import type { RunConfig } from "../config/run-config.ts";
import { isCutByTokens, rowsPerStep } from "../config/step-rows.ts";
import { askedQuantisation, quantisationText } from "../formats/quantisation.ts";
import { hasRatio, methodOf, updatesOf } from "../methods/index.ts";
import type { TrainStart } from "../runs/train-events.ts";

/** "slime (balanced), LoRA of rank 16"; a loss_type that is not the method's usual one is said too. */
function methodText(config: RunConfig): string {
  const { method } = config;
  const usual: unknown = methodOf(method.objective).keys["loss_type"]?.schema.default;
  const forms = [
    ...("preset" in method ? [method.preset] : []),
    ...("loss_type" in method && method.loss_type !== usual ? [method.loss_type] : []),
  ];
  const form = forms.length === 0 ? "" : ` (${forms.join(", ")})`;
  return `${method.objective}${form}, ${trainedText(config)}`;
}

function trainedText(config: RunConfig): string {
  const { use_peft, adapter_name_or_path, lora_r, use_dora } = config;
  if (!use_peft) return "all weights";
  const quantise = askedQuantisation(config);
  const on = quantise === null ? "" : ` on weights in ${quantisationText(quantise)}`;
  if (adapter_name_or_path !== null) return `the adapter ${adapter_name_or_path} trained on${on}`;
  return `${use_dora ? "DoRA" : "LoRA"} of rank ${lora_r}${on}`;
}

/** "16 rows (2 micro-batches of 8)", "4096 tokens (micro-batches of 8 rows at most)" */
function stepText(config: RunConfig): string {
  const { tokens_per_step, per_device_train_batch_size: size, gradient_accumulation_steps: parts } = config;
  if (isOnPolicy(config)) return rolloutText(config);
  const { max_tokens_per_micro_batch: cap } = config;
  const limits = [
    ...(isCutByTokens(config) ? [] : [counted(size, "row")]),
    ...(cap === null ? [] : [`${cap} tokens`]),
  ].join(" and ");
  if (tokens_per_step !== null) return `${tokens_per_step} tokens (micro-batches of ${limits} at most)`;
  const rows = rowsPerStep(config);
  if (cap !== null) return `${rows} rows (micro-batches of ${limits} at most)`;
  return parts === 1 ? `${rows} rows` : `${rows} rows (${parts} micro-batches of ${size})`;
}

/** "16 prompts × 8 completions of at most 48 tokens" */
function rolloutText(config: RunConfig): string {
  const { num_generations: n, max_completion_length: longest } = config;
  const { passes, steps } = updatesOf(config);
  const prompts = rowsPerStep(config) / n;
  const each = `${counted(prompts, "prompt")} × ${n} completions of at most ${longest} tokens`;
  return steps * passes === 1 ? each : `${each}, a rollout for every ${steps * passes}`;
}

/** What a loss says of an on-policy run whose advantages have mean 0; null for other runs. */
export function lossNote(config: RunConfig): string | null {
  if (!isOnPolicy(config) || !hasRatio(config.method.objective)) return null;
  return (
    "a loss near 0 is right: on its own completions the model's advantages have mean 0, whatever it learns. " +
    "Look at reward, grad_norm and, in evaluations, kl_init and chosen_delta_init."
  );
}

function aligned(facts: readonly (readonly [string, string])[]): string {
  return facts.map(([name, text]) => `  ${name.padEnd(9)}${text}`).join("\n");
}

/** What is known from the configuration alone. */
export function configBanner(config: RunConfig): string {
  const data = (specs: RunConfig["eval_data"]): string => (specs ?? []).map(({ path }) => path).join(", ");
  const held = config.eval_data === null ? [] : ([["held out", data(config.eval_data)]] as const);
  return [
    methodText(config),
    aligned([
      ["model", config.model_name_or_path],
      ["data", data(config.train_data)],
      ...held,
      ["output", config.output_dir],
    ]),
  ].join("\n");
}

/** What is known once data and model are there. */
export function startBanner(config: RunConfig, start: TrainStart): string {
  const { totalSteps, step, trainRows, evaluationRows, device, dtype, threads } = start;
  const held = evaluationRows > 0 ? `${evaluationRows} held out` : "none held out";
  const on = device === "cpu" ? `${device}, ${dtype}, ${threads} threads` : `${device}, ${dtype}`;
  const done = step > 0 ? `, of which ${step} are done` : "";
  return aligned([
    ["device", on],
    ["rows", `${trainRows} to train on, ${held}`],
    ["steps", `${totalSteps} of ${stepText(config)}${done}`],
    ["lr", `${valueText("learning_rate", config.learning_rate)}, ${config.lr_scheduler_type}`],
    ["trained", `${weightText(start.trainable)} weights`],
  ]);
}

/** 4880000 as "4.88 M". */
export function weightText(count: number): string {
  const unit = [
    [1e9, " G"],
    [1e6, " M"],
    [1e3, " k"],
  ].find(([size]) => count >= (size as number)) as [number, string] | undefined;
  if (unit === undefined) return String(count);
  return `${Number((count / unit[0]).toPrecision(3))}${unit[1]}`;
}

/** Both banners as one object, for output that is read by programs. */
export function bannerObject(config: RunConfig, start: TrainStart): Record<string, unknown> {
  const { type: _, ...rest } = start;
  const { method, model_name_or_path, output_dir, learning_rate } = config;
  const { objective } = method;
  const preset = "preset" in method ? method.preset : null;
  return { objective, preset, model_name_or_path, output_dir, learning_rate, ...rest };
}
