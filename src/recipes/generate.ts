/**
 * `preftune generate` over a file of prompts: completions of every prompt by every adapter. Finished lines are written at
 * once, so that an interrupted run resumes where it was.
 */
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { at } from "../base/at.ts";
import { ConfigError, TorchError } from "../base/errors.ts";
import { remove, sha256, writeFileAtomic } from "../base/files.ts";
import { deriveSeed } from "../base/random.ts";
import { alone, onFirst, type Together } from "../base/ranks.ts";
import { requireOtherOutput } from "../data/other-output.ts";
import { checkPromptLengths, type Prompt, readPrompts, tellFullContext } from "../data/prompt-file.ts";
import { localIdentity } from "../evaluate/answers/local-answers.ts";
import { defaultRunning } from "../generate/engine.ts";
import { type OpenEngine, openEngine } from "../generate/open-engine.ts";
import type { RolloutSize } from "../planner/sampling-memory.ts";
import { JsonLinesWriter, readJsonLines } from "../runs/json-lines.ts";
import { lockOutput } from "../runs/run-lock.ts";
import type { Message } from "../text/messages.ts";
import type { SourceRow } from "../text/source-rows.ts";
import { type GeneratedLine, generatedLine } from "./generated-line.ts";
import { type GeneratingRanks, openOnRanks } from "./generation-ranks.ts";
import {
  type AdapterVariant,
  CompletionCollector,
  type FinishedCompletion,
  type Generation,
  type GenerationOptions,
  openPrompting,
  type Prompting,
  type SamplingSettings,
} from "./open-generation.ts";
import { agreeOnFiles, jobOf } from "./ranks.ts";

/** The prompts, and where the completions go. */
export interface GenerateFileOptions extends GenerationOptions {
  /** File of prompts, or "-" for standard input; see `readPrompts`. Rows with `turns` are completed turn by turn. */
  prompts: string;
  /** No more than so many prompts, the first ones; null: all. */
  limit: number | null;
  /** `.jsonl`: a line for each prompt and adapter, with all its completions. */
  output: string;
  sampling: SamplingSettings;
  /** The ranks that divide the prompts, each calling this; left out: this process is the only one. Rank 0 writes `output`. */
  ranks?: GeneratingRanks | null;
  /** Called with how ranks hold the model and why, before anything is generated. */
  onLayout?: (reason: string) => void;
  /** Called just before `output` is written, on the rank that does. */
  onWriting?: () => void;
  /** Called after every pass; of several ranks each counts its own. */
  onProgress?: (progress: GenerationProgress) => void;
}

/** The progress of a run. */
export interface GenerationProgress {
  /** Lines finished, and all there will be. */
  done: number;
  total: number;
  /** Tokens sampled so far, and the seconds that took. */
  tokens: number;
  seconds: number;
}

/** What stands in each line of an unfinished run and not in its output. */
interface Begun {
  /** Hash of the run's settings. */
  settings: string;
  /** `YYYY-MM-DD`, what its templates take as today; files of older versions have none. */
  day?: string;
}

interface PartialLine extends GeneratedLine, Begun {}

/** Requests handed to the engine beyond those that run: enough that it never waits for the next one. */
const queued = 8;

/**
 * Samples completions of the prompts and writes them, a JSON line for each prompt and adapter in the order of the prompts.
 * Until all are there they are in `OUTPUT.partial`, from which the same call resumes.
 *
 * @throws {DataError} naming file and line of a prompt that cannot be completed
 * @throws {ConfigError} if a setting is out of range, or the unfinished output was made with other settings
 * @throws {DisagreementError} on all ranks, if what they read differs
 * @throws {RunLockedError} if another process writes the output
 */
export async function generateFile(options: GenerateFileOptions): Promise<GenerationProgress> {
  if (!options.output.endsWith(".jsonl")) {
    throw new ConfigError(`--output: expected a name that ends in .jsonl, got "${options.output}".`);
  }
  await requireOtherOutput({ "--output": options.output }, [options.prompts]);
  const { isPlain = false, limit, ranks = null, onLayout = () => {}, onWriting = () => {} } = options;
  const together: Together = ranks?.group ?? alone;
  const day = dayOf(options.output, together);
  await using prompting = await openPrompting({
    ...options,
    now: new Date(day),
    group: ranks?.group ?? null,
  });
  const { encoder, maxPositions, variants } = prompting;
  const prompts = await readPrompts(options.prompts, encoder, { isPlain, limit });
  checkPromptLengths(prompts, options.sampling.maxNewTokens, maxPositions);
  const settings = settingsHash(options, prompting, prompts);
  if (ranks !== null) agreeOnFiles(ranks.group, { "model, adapters, template and prompts": settings });
  using opened = ranks === null ? null : openOnRanks(prompting, ranks, sizeOf(prompts, options));
  if (opened !== null) onLayout(opened.reason);
  using only = opened === null ? openEngine(prompting.source) : null;
  const { engine } = opened ?? (only as OpenEngine);
  using _ = lockOutput(`${options.output}.lock`, { ranks: together, job: jobOf(ranks?.group ?? null) });
  const tasks = prompts.flatMap((prompt, index) =>
    variants.map((variant): DialogueTask => ({ prompt, index, variant })),
  );
  const isOwn = ({ index }: { index: number }) => index % together.size === together.rank;
  const done = linesBegun(options.output, settings);
  const own = tasks.filter(isOwn);
  const open = own.filter(({ index, variant }) => !done.has(keyOf(index, variant.name)));
  const begun = { done: own.length - open.length, total: own.length, tokens: 0, seconds: 0 };
  const partial = partialOf(options.output, together.rank);
  const progress = await completeAll({ ...prompting, engine }, open, options, {
    progress: begun,
    write: appendTo(partial, { settings, day }),
  });
  opened?.finish();
  const finished = [...linesBegun(options.output, settings).values()].filter(isOwn);
  const all = together.gather({ finished, tokens: progress.tokens });
  const lines = new Map(
    all.flatMap((one) => one.finished).map((line) => [keyOf(line.index, line.adapter), line]),
  );
  onFirst(together, () => {
    onWriting();
    const ordered = tasks.map(({ index, variant }) => lines.get(keyOf(index, variant.name)) as PartialLine);
    const texts = ordered.map(({ settings: _, day: __, ...line }) => `${JSON.stringify(line)}\n`);
    writeFileAtomic(options.output, texts.join(""));
  });
  // where ranks have one directory rank 0 sees the files of all
  if (together.rank === 0) for (const path of partialsOf(options.output)) remove(path);
  together.gather(null);
  if (existsSync(partial)) remove(partial);
  const tokens = all.reduce((sum, one) => sum + one.tokens, 0);
  return { ...progress, done: tasks.length, total: tasks.length, tokens };
}

/** What a rank samples at a time at most. */
function sizeOf(prompts: readonly Prompt[], { sampling, limits }: GenerateFileOptions): RolloutSize {
  const { n, maxNewTokens } = sampling;
  const completions = Math.min(limits?.maxRunning ?? defaultRunning, n * prompts.length);
  // each turn is asked after the completions of the ones before
  const tokensOf = ({ ids, followUps }: Prompt) => ids.length + followUps.length * maxNewTokens;
  const longest = prompts.map(tokensOf).toSorted((a, b) => b - a);
  const prompt = longest.slice(0, Math.ceil(completions / n)).reduce((sum, tokens) => sum + tokens, 0);
  return { completions, cachedTokens: prompt + completions * maxNewTokens, isAhead: false };
}

/** Where rank `rank` appends the lines of an unfinished run. */
function partialOf(output: string, rank: number): string {
  return rank === 0 ? `${output}.partial` : `${output}.partial-${rank}`;
}

/** The files of an unfinished run that are seen from here, of whichever ranks. */
function partialsOf(output: string): string[] {
  const dir = dirname(output);
  const name = `${basename(output)}.partial`;
  const isPartial = (file: string) => file === name || /^-\d+$/.test(file.slice(name.length));
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((file) => file.startsWith(name) && isPartial(file))
    .map((file) => join(dir, file));
}

const keyOf = (index: number, adapter: string): string => `${index} ${adapter}`;

/** A short hash of everything the completions depend on: weights by what they are, not by where they lie. */
function settingsHash(
  { sampling, dtype, chatTemplate = null, enableThinking = null, quantise = null }: GenerateFileOptions,
  { source: { model, adapters }, variants, stopIds }: Prompting,
  prompts: readonly Prompt[],
): string {
  const directories = variants.map(({ adapter }) =>
    adapter === null ? null : (adapters.get(adapter) ?? null),
  );
  const parts = [
    variants.map(({ name }, i) => [name, localIdentity({ model, adapter: directories[i] ?? null })]),
    [chatTemplate, enableThinking, [...stopIds]],
    sampling,
    dtype,
    prompts.map(({ ids, followUps }) => (followUps.length === 0 ? ids : [ids, followUps])),
    ...(quantise === null ? [] : [quantise]),
  ];
  return sha256(JSON.stringify(parts)).slice(0, 16);
}

/** The lines of an interrupted run, by prompt and adapter. */
function linesBegun(output: string, settings: string): Map<string, PartialLine> {
  const lines = new Map<string, PartialLine>();
  const files = partialsOf(output).flatMap((path) =>
    readJsonLines(path).map(({ value }) => ({ path, value })),
  );
  for (const { path, value } of files) {
    const line = value as PartialLine;
    if (line.settings !== settings) {
      throw new ConfigError(
        `${path} has completions made with another model, other prompts or other settings. Use the same ones to resume, ` +
          "or delete the file to start over.",
      );
    }
    lines.set(keyOf(line.index, line.adapter), line);
  }
  return lines;
}

/** What templates take as today, on all ranks: the day on which the unfinished run began, so that it resumes on another; UTC. */
export function dayOf(output: string, together: Together): string {
  const lines = partialsOf(output).flatMap((path) => readJsonLines(path));
  const own = lines.map(({ value }) => (value as PartialLine).day).find((day) => day !== undefined);
  const begun = together.gather(own ?? null).find((day) => day !== null);
  return begun ?? onFirst(together, () => new Date().toISOString().slice(0, 10));
}

/** A function that appends a line to `path`, which is opened with the first of them; null closes it. */
function appendTo(path: string, begun: Begun): (line: GeneratedLine | null) => void {
  let writer: JsonLinesWriter | null = null;
  return (line) => {
    if (line === null) {
      writer?.close();
      return;
    }
    writer ??= new JsonLinesWriter(path);
    writer.write({ ...line, ...begun });
  };
}

async function completeAll(
  generation: Generation,
  tasks: readonly DialogueTask[],
  { sampling, onProgress = () => {} }: GenerateFileOptions,
  { progress, write }: { progress: GenerationProgress; write: ReturnType<typeof appendTo> },
): Promise<GenerationProgress> {
  const { engine } = generation;
  const began = performance.now();
  let next = 0;
  let open = 0;
  let failure: { error: unknown } | null = null;
  const start = async (task: DialogueTask): Promise<void> => {
    open++;
    try {
      write(generatedLine(task, await completeDialogue(generation, task, sampling)));
      progress.done++;
    } catch (error) {
      failure ??= { error };
    }
    open--;
  };
  const before = engine.stats.completionTokens;
  try {
    while ((next < tasks.length || open > 0) && failure === null) {
      while (next < tasks.length && engine.stats.waiting < queued) void start(at(tasks, next++));
      engine.step();
      progress.tokens = engine.stats.completionTokens - before;
      progress.seconds = (performance.now() - began) / 1000;
      onProgress({ ...progress });
      // lets completions be taken up, and signals and timers run, between passes
      await new Promise(setImmediate);
    }
  } finally {
    write(null);
  }
  const failed = failure as { error: unknown } | null;
  if (failed !== null) throw failed.error;
  onProgress({ ...progress });
  return progress;
}

/** A prompt to be completed by one adapter. */
interface DialogueTask {
  prompt: Prompt;
  /** Index of the prompt in its file: its random numbers depend on it. */
  index: number;
  variant: AdapterVariant;
}

/**
 * The completions of the prompt and of the turns after it: for each sample one completion a turn. Samples share the first
 * prompt and nothing else. A completion ends where the context does; a later turn that leaves no room for one has an empty one.
 *
 * @throws {TorchError} naming file and line, if the engine fails
 * @throws {DataError} if the conversation of a turn cannot be rendered
 */
async function completeDialogue(
  generation: Generation,
  { prompt, index, variant }: DialogueTask,
  sampling: SamplingSettings,
): Promise<FinishedCompletion[][]> {
  const { where, followUps } = prompt;
  const request = { generation, variant, where, continuesPrompt: prompt.isContinued };
  const first = await submit(request, prompt.ids, { ...sampling, firstSeries: index * sampling.n });
  const dialogues = first.map((completion) => [completion]);
  for (const [turn] of followUps.entries()) {
    const pending = dialogues.map(async (turns, sample) => {
      const ids = await generation.encodeRow(rowAfter(prompt, turns));
      const turnWhere = `${where}, turn ${turn + 2}`;
      if (ids.length >= generation.maxPositions) {
        tellFullContext(turnWhere, ids.length, generation.maxPositions);
        turns.push({ text: "", reason: "length", tokens: 0 });
        return;
      }
      const seed = deriveSeed(sampling.seed, turn + 1);
      const single = { ...sampling, n: 1, seed, firstSeries: index * sampling.n + sample };
      turns.push(...(await submit({ ...request, where: turnWhere, continuesPrompt: false }, ids, single)));
    });
    await Promise.all(pending);
  }
  return dialogues;
}

/** The row with the completions of the turns so far and the next question. */
function rowAfter({ row, followUps }: Prompt, turns: readonly FinishedCompletion[]): SourceRow {
  const later = turns.flatMap(({ text }, i): Message[] => [
    { role: "assistant", content: text },
    { role: "user", content: followUps[i] ?? "" },
  ]);
  const before: readonly Message[] =
    row.kind === "chat" ? row.prompt : [{ role: "user", content: row.kind === "text" ? row.prompt : "" }];
  const common = row.kind === "chat" ? row : { where: row.where, completions: [] };
  return { ...common, kind: "chat", prompt: [...before, ...later] } as SourceRow;
}

/** A request but for its tokens. */
interface Submission {
  generation: Generation;
  variant: AdapterVariant;
  /** File and line, and the turn. */
  where: string;
  /** Whether the completion continues the prompt's text. */
  continuesPrompt: boolean;
}

/** Submits a request to the engine, which computes it while its owner steps it. */
function submit(
  { generation, variant, where, continuesPrompt }: Submission,
  promptIds: readonly number[],
  sampling: SamplingSettings & { firstSeries: number },
): Promise<FinishedCompletion[]> {
  const request = {
    ...sampling,
    promptIds: [...promptIds],
    stopIds: generation.stopIds,
    adapter: variant.adapter,
    continuesPrompt,
  };
  return new Promise((resolve, reject) => {
    const collector = new CompletionCollector(sampling.n);
    const id = `${where} ${sampling.firstSeries} ${variant.name}`;
    generation.engine.submit(id, request, (event) => {
      collector.add(event);
      if (event.type === "error") reject(new TorchError(`${where}: ${event.message}`));
      if (event.type === "done") resolve(collector.completions);
    });
  });
}
