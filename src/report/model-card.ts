/** The model card of a run: what Hugging Face's hub shows of it, made of the run's files and nothing else. */
import { stringify } from "yaml";
import { flatConfig } from "../config/keys.ts";
import type { ConfigKey } from "../config/run-config.ts";
import { methodOf } from "../methods/index.ts";
import { hubDataSets } from "../runs/lineage.ts";
import { parityText } from "../runs/parity-text.ts";
import type { RunView } from "../runs/run-directory.ts";
import type { ParityResult } from "../runs/train-events.ts";
import { cardResults } from "./card-results.ts";
import { type Checked, scaleWords } from "./facts-section.ts";
import { pathShortener, type ShortenPaths } from "./shared-text.ts";
import { nameOf } from "./state-text.ts";

/** What a card needs besides the run. */
export interface CardFacts {
  /** Which export it describes. */
  kind: "adapter" | "model";
  /** The base model as others find it, `owner/name`; null: it was a directory. */
  base: string | null;
  /** Its commit; null: not known. */
  baseCommit: string | null;
  /** Identifier on the hub; null: not known. */
  license: string | null;
  /** Version of the program that writes it. */
  version: string;
}

/** README.md of the repository. */
export function modelCard(run: RunView, facts: CardFacts): string {
  const shorten = pathShortener([run]);
  const sections = [
    frontMatter(run, facts),
    opening(run, facts, shorten),
    cardResults(run),
    dataSection(run, shorten),
    exportSection(run, facts),
    trainingSection(run, facts, shorten),
    unmeasured(run, facts),
  ];
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

function frontMatter({ config, fingerprints }: RunView, { kind, base, license }: CardFacts): string {
  const scores = methodOf(config.method.objective).over === "scores";
  const datasets = hubDataSets(fingerprints);
  const head = {
    ...(base === null
      ? {}
      : { base_model: base, base_model_relation: kind === "adapter" ? "adapter" : "finetune" }),
    ...(license === null ? {} : { license }),
    library_name: kind === "adapter" ? "peft" : "transformers",
    pipeline_tag: scores ? "text-classification" : "text-generation",
    ...(datasets.length === 0 ? {} : { datasets }),
    tags: ["preftune", config.method.objective, ...(config.use_peft ? ["lora"] : [])],
  };
  return `---\n${stringify(head)}---`;
}

function opening(
  run: RunView,
  { kind, base, baseCommit, version }: CardFacts,
  shorten: ShortenPaths,
): string {
  const { config } = run;
  const preset = "preset" in config.method ? ` (preset ${config.method.preset})` : "";
  const how = config.use_peft ? `LoRA of rank ${config.lora_r}` : "all weights trained";
  const commit = baseCommit === null ? "" : ` at commit ${baseCommit}`;
  const from =
    base === null
      ? `a local model, ${shorten(config.model_name_or_path)}`
      : `[${base}](https://huggingface.co/${base})${commit}`;
  const what =
    kind === "adapter" ? "An adapter" : config.use_peft ? "A model with its adapter merged in" : "A model";
  const part = scaleWords(checkOf(run, kind)?.scale);
  return `# ${nameOf(run)}

${what} trained with preftune ${version} from ${from}: objective ${config.method.objective}${preset}, ${how}${part}. This card is made of the files of the run.${thinkingText(config)}`;
}

/** What the files cannot say: how whoever asks the model renders its chats as training did. */
function thinkingText({ enable_thinking: value }: RunView["config"]): string {
  if (value === null) return "";
  return ` Chats were rendered with \`enable_thinking\` ${value}: transformers takes it in \`apply_chat_template(..., enable_thinking=${value ? "True" : "False"})\`, OpenAI-style servers in a request's \`chat_template_kwargs\`.`;
}

function dataSection({ config, fingerprints, preflight }: RunView, shorten: ShortenPaths): string {
  const { counts, findings } = (preflight ?? {}) as Partial<Checked>;
  const held = counts?.["evaluation"];
  const rows = `${count(counts?.["train"])} rows trained on, ${count(held ?? 0)} held out.`;
  const files = Object.entries(fingerprints?.data ?? {}).map(([path, digest]) => {
    const name = path === "rows" ? "all rows, as they were read" : path.replace(/^\w+\[\d+\]\//, "");
    return `| ${cell(name)} | \`${digest}\` |`;
  });
  const sources = config.train_data.map(({ path }) => `\`${shorten(path)}\``).join(", ");
  const found = (findings ?? []).map(
    ({ severity, code, count: many, message }) =>
      `- ${severity} (${code}, ${count(many)}): ${line(shorten(message))}`,
  );
  const warnings =
    found.length === 0
      ? "The data check found nothing wrong."
      : `The data check found:\n\n${found.join("\n")}`;
  const table =
    files.length === 0
      ? ""
      : `\n\n| file | SHA-256, or commit on the hub |\n| --- | --- |\n${files.join("\n")}`;
  return `## Data\n\nTrained on ${sources}: ${rows}${table}\n\n${warnings}`;
}

/** What the export says of itself; undefined where nothing was checked. */
function checkOf({ exported }: Pick<RunView, "exported">, kind: CardFacts["kind"]): ParityResult | undefined {
  return (Array.isArray(exported) ? (exported as ParityResult[]) : []).find((one) => one.kind === kind);
}

function exportSection(run: RunView, { kind }: CardFacts): string {
  const check = checkOf(run, kind);
  if (check === undefined) return "";
  const { dtype, maxDifference, meanDifference, scale } = check;
  const { counted, unit, allowed } = parityText(check);
  return `## Check of these files

${counted} were scored again with the exported files (${dtype}${scaleWords(scale)}): largest difference to the model as trained ${String(maxDifference)}${unit}, mean ${String(meanDifference)}; ${allowed}.`;
}

function trainingSection(run: RunView, { version }: CardFacts, shorten: ShortenPaths): string {
  const { config, provenance, fingerprints } = run;
  const values = Object.entries(flatConfig(config)) as [ConfigKey, unknown][];
  // the rest follows from these
  const given = values.filter(
    ([key]) =>
      !/^(default|derived|preset)/.test(provenance[key] ?? "default") && key !== "resume_from_checkpoint",
  );
  const yaml = shorten(stringify(Object.fromEntries(given)));
  const facts: [string, string | number | null | undefined][] = [
    ["preftune", fingerprints?.code_version ?? version],
    ["torch", fingerprints?.torch_version],
    ["device", fingerprints?.device],
    ["dtype", fingerprints?.dtype],
    ["threads", fingerprints?.threads],
    ["weights it began with", fingerprints?.model],
    ["chat template", fingerprints?.template],
  ];
  const known = facts.filter(([, value]) => value !== null && value !== undefined);
  const table = known.map(([name, value]) => `| ${name} | ${cell(String(value))} |`).join("\n");
  return `## How it was trained

\`\`\`sh
npx preftune@${fingerprints?.code_version ?? version} train run.yaml
\`\`\`

run.yaml, without what follows from defaults and preset:

\`\`\`yaml
${yaml.trimEnd()}
\`\`\`

| | |
| --- | --- |
${table}`;
}

/** What nobody should take from the card. */
function unmeasured({ config, metrics, fingerprints }: RunView, { base, license }: CardFacts): string {
  const isHeld = metrics.some((row) => "eval_runtime" in row);
  const isSampled = metrics.some((row) => "eval_samples/distinct_2" in row);
  const missing = [
    isHeld
      ? null
      : "held-out rows: there were none, so nothing above is about rows that it was not trained on",
    "other runs: this is one run with one seed; intervals are over rows, not over seeds",
    "benchmarks, and comparison by people or a judge: none is part of the run",
    isSampled ? null : "what it answers: no completions were sampled (watch_prompts)",
    "safety, bias, languages, and rows unlike those above",
    fingerprints === null ? "digests of data and weights: the run has lost them" : null,
    license === null
      ? "the licence: the base model's files name none; see where the base model comes from"
      : null,
    base === null ? "the origin of the base model: it was a local directory" : null,
    config.load_in_4bit || config.load_in_8bit ? "what the base model's few bits cost" : null,
  ];
  const list = missing.filter((text) => text !== null).map((text) => `- ${text}`);
  return `## What was not measured\n\n${list.join("\n")}`;
}

function count(value: unknown): string {
  return typeof value === "number" ? value.toLocaleString("en-US") : "an unknown number of";
}

function cell(text: string): string {
  return line(text).replaceAll("|", "\\|");
}

/** A text on one line, without what Markdown or HTML would make of it. */
function line(text: string): string {
  return text.replace(/\s+/g, " ").replace(/[<>]/g, (sign) => (sign === "<" ? "&lt;" : "&gt;"));
}
