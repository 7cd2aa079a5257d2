/** A plan as text for people: what is trained, memory by component, and the objectives side by side. */
import { formatBytes } from "../base/file-io.ts";
import { counted, formatDuration, formatNumber } from "../base/number-text.ts";
import { textTable } from "../terminal/text-table.ts";
import type { Advice } from "./advice.ts";
import type { FinalScalePlan } from "./final-scale-plan.ts";
import { type Component, componentNames } from "./memory.ts";
import { rankNotes, ranksText } from "./ranks-text.ts";
import type { MethodPlan, Plan } from "./run-plan.ts";

const componentText: Readonly<Record<Component, string>> = {
  process: "process, libraries",
  files: "checkpoint files, mapped",
  weights: "weights",
  gathered: "gathered blocks",
  optimiser: "optimiser (AdamW)",
  gradients: "gradients",
  activations: "activations",
  head: "head (logits, answers)",
  working: "working memory of a block",
  cache: "KV cache of what is sampled",
  filtered: "tokens left by top_p, top_k, min_p",
  reference: "reference model",
  valueModel: "value model and its optimiser",
  rewardModel: "reward model",
  sampler: "sampling process",
};

/** 1,234,567 */
function grouped(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** 8.03 B, 42.0 M, 512 */
function short(value: number): string {
  const [unit, size] = value >= 1e9 ? ["B", 1e9] : value >= 1e6 ? ["M", 1e6] : ["", 1];
  return `${size === 1 ? grouped(value) : (value / size).toPrecision(3)} ${unit}`.trim();
}

/** 12.3, 0.04, under 0.01 */
function hoursText(hours: number): string {
  return hours < 0.01 ? "under 0.01" : formatNumber(Number(hours.toFixed(2)));
}

/** 12.3 GFLOP */
function flopsText(flops: number): string {
  const units = ["", "k", "M", "G", "T", "P", "E", "Z"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, flops)) / 3)));
  return `${(flops / 1000 ** power).toPrecision(3)} ${units[power]}FLOP`;
}

function lengthText(value: number): string {
  return Number.isInteger(value) ? `${value}` : value.toFixed(0);
}

/** The plan, with a newline at the end. */
export function formatPlan(plan: Plan): string {
  const parts = [headText(plan), ranksText(plan), memoryText(plan), methodsText(plan)];
  parts.push(adviceText(plan), notesText(plan));
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function headText({ model, parameters, training, device, rows, flops }: Plan): string {
  const { embedding, head, attention, mlp, norms } = parameters;
  const headPart = head === 0 ? "head tied" : `head ${short(head)}`;
  const trained =
    training.kind === "full"
      ? "all of them"
      : `${grouped(parameters.trained)} (LoRA ${short(parameters.adapter)}${parameters.savedCopies > 0 ? `, modules in full ${short(parameters.savedCopies)}` : ""})`;
  const { prompt, chosen, rejected } = rows.mean;
  const answers =
    rejected > 0
      ? `chosen ${lengthText(chosen)}, rejected ${lengthText(rejected)}`
      : `answer ${lengthText(chosen)}`;
  const count = rows.pairs === null ? "how many is unknown (--pairs)" : `${grouped(rows.pairs)} rows`;
  const lines: [string, string][] = [
    [
      "model",
      `${model.name}: ${model.family}, ${model.layers} layers, width ${model.width}, vocabulary ${grouped(model.vocabulary)}`,
    ],
    ["parameters", grouped(parameters.total)],
    [
      "",
      `embedding ${short(embedding)}, ${headPart}, attention ${short(attention)}, MLP ${short(mlp)}, norms ${short(norms)}`,
    ],
    ["trained", trained],
    ["rows", `${count}; mean tokens: prompt ${lengthText(prompt)}, ${answers}; ${rows.source}`],
    [
      "type",
      `${training.dtype}${training.held === null ? "" : `, linears of blocks in ${training.held}`}${training.gradientCheckpointing ? ", gradient_checkpointing" : ""}${training.offloadEmbedding ? ", offload_embedding" : ""}`,
    ],
    ["device", `${device.name}: ${formatBytes(device.memoryBytes)} of memory, ${speedText(device)}`],
    [
      "FLOPs a row",
      `${flopsText(flops.forward)} forward, ${flopsText(flops.backward)} back${flops.recompute > 0 ? `, ${flopsText(flops.recompute)} computed again` : ""}${flops.kl > 0 ? `, ${flopsText(flops.kl)} for the KL estimate` : ""}`,
    ],
  ];
  return lines.map(([label, text]) => `${label.padEnd(12)}${text}`).join("\n");
}

function speedText({ isGpu, peakFlops, utilisation, speedSource }: Plan["device"]): string {
  const percent = percentText(utilisation);
  const speed = isGpu
    ? `${formatNumber(peakFlops / 1e12)} TFLOP/s`
    : `${formatNumber(peakFlops / 1e9)} GFLOP/s`;
  return `${speed} (${speedSource}), of which ${percent} are taken to be reached`;
}

/** 40 %, 1.6 %, 0.03 % */
function percentText(fraction: number): string {
  return `${Number((100 * fraction).toPrecision(2))} %`;
}

function memoryText({ memory, training, device, rows }: Plan): string {
  const rowsOf = ({ components }: Plan["memory"]) =>
    componentNames
      .filter((name) => components[name] > 0 || name === "reference")
      .map((name) => [componentText[name], formatBytes(components[name])]);
  const table = textTable(
    ["memory at the peak", ""],
    [...rowsOf(memory), ["together", formatBytes(memory.total)]],
  );
  const { pairs, tokens, answerTokens } = rows.largestMicroBatch;
  const batch = `largest micro-batch: ${counted(pairs, "row")}, ${grouped(tokens)} tokens, ${grouped(answerTokens)} of them answers' (per_device_train_batch_size ${training.batchSize})`;
  const usable = formatBytes(device.usableBytes);
  const verdict = memory.fits
    ? `It fits the ${usable} that may be filled.`
    : `It does not fit the ${usable} that may be filled.`;
  return `${table}\n${batch}\nhighest in ${memory.moment}. ${verdict}`;
}

function methodsText({ methods, device }: Plan): string {
  const cells = (method: MethodPlan): string[] => {
    const { flopsPerPair, memoryBytes, largestBatch, pairsPerSecond, runSeconds } = method;
    const show = (value: number | null, text: (value: number) => string) =>
      value === null ? "–" : text(value);
    return [
      `${method.isOwn ? "→" : " "} ${method.name}`,
      show(flopsPerPair, flopsText),
      show(memoryBytes, formatBytes),
      show(largestBatch, (batch) => (batch === 0 ? "none fits" : `${batch}`)),
      show(pairsPerSecond, formatNumber),
      show(runSeconds, formatDuration),
      ...(device.isGpu ? [show(runSeconds, (seconds) => hoursText(seconds / 3600))] : []),
    ];
  };
  const headings = ["", "work\na row", "memory", "largest\nbatch", "rows/s", "run"];
  const table = textTable(device.isGpu ? [...headings, "GPU-\nhours"] : headings, methods.map(cells));
  const refused = methods.flatMap(({ name, refused }) => (refused === null ? [] : [`${name}: ${refused}.`]));
  return [table, ...refused].join("\n");
}

function adviceText({ advice, device }: Plan): string {
  if (advice.length === 0) return "";
  const line = ({ change, bytes, fits }: Advice) =>
    `  ${fits ? "fits:" : "too much still:"} ${change}: ${formatBytes(bytes)}`;
  const usable = formatBytes(device.usableBytes);
  return [`What would make it fit ${usable}:`, ...advice.map(line)].join("\n");
}

function notesText(plan: Plan): string {
  const { device, rows, longestPairBytes, methods } = plan;
  const notes: string[] = [];
  if (plan.launchSeconds > 0 && plan.reachedShare < device.utilisation) notes.push(launchText(plan));
  if (!rows.isMeasured) {
    notes.push(
      "Lengths are assumed and all rows alike: rows of real data differ, and the longest decide memory.",
    );
  }
  const bound = rows.ofRollout ? "max_completion_length" : "max_length";
  notes.push(`One row as long as ${bound} allows takes ${formatBytes(longestPairBytes)}.`);
  if (rows.startLogpBytes !== null && rows.startLogpBytes > 0) {
    notes.push(
      `The log-probs of held-out tokens at the start take ${formatBytes(rows.startLogpBytes)} of a file, in the run directory and in each checkpoint; in memory as much, and 4 bytes a token.`,
    );
  }
  if (rows.comparedLogpBytes !== null && rows.comparedLogpBytes > 0) {
    notes.push(
      `The log-probs of all rows' tokens at the start, which the loss compares with, take ${formatBytes(rows.comparedLogpBytes)} of a file in the run directory, where they are precomputed, and in memory 4 bytes a token.`,
    );
  }
  if (rows.ofRollout) {
    notes.push(
      "On-policy: a row is a completion with its part of the prompt, of max_completion_length tokens unless its length is given, which is the most that a step can have. " +
        "Evaluations hold the model of the start a second time in full tuning. Time is that of updates, each pass over a rollout counted: how long sampling and scoring take is not known.",
    );
  }
  if (plan.watch !== null) {
    const { prompts, samples, longest, tokens, rows: asMany } = plan.watch;
    notes.push(
      `Each evaluation samples ${prompts} × ${samples} watched answers of at most ${longest} tokens: ${grouped(tokens)} tokens, with their prompts as many as ${grouped(Math.max(1, asMany))} rows have, one token at a time (watch_prompts: null samples none).`,
    );
  }
  if (methods.length > 1 && !rows.ofRollout) {
    notes.push(
      "No objective holds a second model: a live reference is the model with its adapter off, a precomputed one a table of numbers.",
    );
  }
  if (methods.some(({ isOwn, scores }) => isOwn && scores)) {
    notes.push(
      "A reward model has a score layer in place of the head, whose matrix, logits and work are not counted.",
    );
  }
  if (device.isGpu)
    notes.push(
      "GPU memory is computed from the code; on one H200 five plans were within 3 % of the allocator's peak (docs/planner.md).",
    );
  if (plan.ranks !== null) notes.push(rankNotes);
  notes.push(...timeNotes(plan));
  return notes.join("\n");
}

/** What of a run is counted in its time. */
function timeNotes({ finalScale, ranks }: Plan): string[] {
  const alone = (what: string) =>
    `Time is that of ${what} alone: no loading, evaluation, checkpoints or export.`;
  if (finalScale === null) return [alone("training steps")];
  const counted = finalScale.seconds === null ? "training steps" : "training steps and of these passes";
  return [finalScaleText(finalScale, ranks?.ranks ?? 1), alone(counted)];
}

/** What choosing the scale takes at the end. */
function finalScaleText(
  { scales, rows, flops, seconds, memoryBytes }: FinalScalePlan,
  ranks: number,
): string {
  const work =
    rows === null || flops === null || seconds === null
      ? "the held-out rows, how many is unknown: their time is not counted"
      : `${grouped(rows)} held-out rows, ${flopsText(flops)}, ${formatDuration(seconds)}`;
  const shared = ranks === 1 ? "" : `, divided among the ${ranks} ranks, each with all of the model`;
  return (
    `final_scale: auto ends the run with ${scales} passes over ${work}${shared}. Answers to two prompts at each scale, and in full tuning ` +
    `mixing the weights, come besides. It holds ${formatBytes(memoryBytes)}, when training's memory is free.`
  );
}

/** Why a small micro-batch does not reach the usual fraction of the peak. */
function launchText({ rows, launchSeconds, reachedShare, device }: Plan): string {
  const { tokens } = rows.largestMicroBatch;
  return (
    `A micro-batch of ${grouped(tokens)} tokens is too small, in a model of this size, for ${percentText(device.utilisation)} of this GPU's peak: launching its ` +
    `kernels takes longer than computing them, by assumption ${formatDuration(launchSeconds)} (5 µs each). Times are those of ` +
    `launching, ${percentText(reachedShare)} of the peak. A larger per_device_train_batch_size is faster; --mfu takes a measured share in place of both assumptions.`
  );
}
