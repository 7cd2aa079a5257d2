/**
 * `preftune generate` over a file of prompts: every prompt answered by every adapter asked for. What is answered is on the
 * disk at once, so that a run that was broken off goes on where it was.
 */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { remove, sha256, writeFileAtomic } from "../base/files.ts";
import { checkPromptLengths, type Prompt, readPrompts } from "../data/prompt-file.ts";
import { JsonLinesWriter, readJsonLines } from "../runs/json-lines.ts";
import { answerDialogue, type DialogueTask } from "./dialogue.ts";
import {
  type FinishedAnswer,
  type Generation,
  type GenerationOptions,
  openGeneration,
  type SamplingSettings,
} from "./generation.ts";

/** What to answer, and where the answers go. */
export interface GenerateFileOptions extends GenerationOptions {
  /** File of prompts, or "-" for standard input; see `readPrompts`. Rows with `turns` are answered turn by turn. */
  prompts: string;
  /** No more than so many prompts, the first ones; null: all. */
  limit: number | null;
  /** `.jsonl`: a line for each prompt and adapter, with all its answers. */
  output: string;
  sampling: SamplingSettings;
  /** Told after every pass. */
  onProgress?: (progress: GenerationProgress) => void;
}

/** How far a run has got. */
export interface GenerationProgress {
  /** Lines finished, and all there will be. */
  done: number;
  total: number;
  /** Tokens drawn so far, and how long that took. */
  tokens: number;
  seconds: number;
}

interface Answer {
  text: string;
  ended: boolean;
  finish_reason: "stop" | "length";
  tokens: number;
}

/** A line of the output. */
interface Line {
  index: number;
  prompt: string;
  /** The user's turns after the prompt, where there are any. */
  follow_ups?: readonly string[];
  adapter: string;
  /** The answer to the last turn; where there were several, `turns` has the answer to each. */
  answers: (Answer & { turns?: Answer[] })[];
}

/** A line while a run is under way: with what it was made with. */
interface PartialLine extends Line {
  settings: string;
}

/** Requests handed to the engine beyond those that run: enough that it never waits for the next one. */
const queued = 8;

/**
 * Answers the prompts and writes the answers, a JSON line for each prompt and adapter in order of the prompts. Until all are
 * there they stand in `OUTPUT.partial`, and the same call goes on from them.
 *
 * @throws {DataError} naming file and line of a prompt that cannot be answered
 * @throws {ConfigError} if a setting is out of range, or the answers begun were made with other settings
 */
export async function generateFile(options: GenerateFileOptions): Promise<GenerationProgress> {
  if (!options.output.endsWith(".jsonl")) {
    throw new ConfigError(`--output: expected a name that ends in .jsonl, got "${options.output}".`);
  }
  await using generation = await openGeneration(options);
  const { encoder, maxPositions, voices } = generation;
  const { isPlain = false, limit } = options;
  const prompts = await readPrompts(options.prompts, encoder, { isPlain, limit });
  checkPromptLengths(prompts, options.sampling.maxNewTokens, maxPositions);
  const partial = `${options.output}.partial`;
  const settings = settingsHash(options, prompts);
  const done = linesBegun(partial, settings);
  const tasks = prompts.flatMap((prompt, index) =>
    voices.map((voice): DialogueTask => ({ prompt, index, voice })),
  );
  const open = tasks.filter(({ index, voice }) => !done.has(keyOf(index, voice.name)));
  const progress = await answerAll(generation, open, {
    options,
    begun: tasks.length - open.length,
    write: appendTo(partial, settings),
  });
  const lines = linesBegun(partial, settings);
  const ordered = tasks.map(({ index, voice }) => lines.get(keyOf(index, voice.name)) as PartialLine);
  writeFileAtomic(
    options.output,
    ordered.map(({ settings: _, ...line }) => `${JSON.stringify(line)}\n`).join(""),
  );
  remove(partial);
  return progress;
}

const keyOf = (index: number, adapter: string): string => `${index} ${adapter}`;

/** What decides the answers, as a short hash. */
function settingsHash(
  { model, adapters, sampling, dtype }: GenerateFileOptions,
  prompts: readonly Prompt[],
): string {
  const parts = [
    model,
    adapters,
    sampling,
    dtype,
    prompts.map(({ ids, followUps }) => (followUps.length === 0 ? ids : [ids, followUps])),
  ];
  return sha256(JSON.stringify(parts)).slice(0, 16);
}

/** The lines of a run that was broken off, by prompt and adapter. */
function linesBegun(path: string, settings: string): Map<string, PartialLine> {
  const lines = new Map<string, PartialLine>();
  for (const { value } of readJsonLines(path)) {
    const line = value as PartialLine;
    if (line.settings !== settings) {
      throw new ConfigError(
        `${path} has answers made with another model, other prompts or other settings. Ask as before to go on with them, ` +
          "or delete the file to begin anew.",
      );
    }
    lines.set(keyOf(line.index, line.adapter), line);
  }
  return lines;
}

/** Appends lines to `path`, which is opened with the first of them. */
function appendTo(path: string, settings: string): (line: Line | null) => void {
  let writer: JsonLinesWriter | null = null;
  return (line) => {
    if (line === null) {
      writer?.close();
      return;
    }
    writer ??= new JsonLinesWriter(path);
    writer.write({ ...line, settings });
  };
}

interface Job {
  options: GenerateFileOptions;
  /** Lines there already. */
  begun: number;
  /** Takes a finished line; null at the end. */
  write: (line: Line | null) => void;
}

async function answerAll(
  generation: Generation,
  tasks: readonly DialogueTask[],
  job: Job,
): Promise<GenerationProgress> {
  const { engine } = generation;
  const began = performance.now();
  const progress = { done: job.begun, total: job.begun + tasks.length, tokens: 0, seconds: 0 };
  let next = 0;
  let open = 0;
  let failure: { error: unknown } | null = null;
  const start = async (task: DialogueTask): Promise<void> => {
    open++;
    try {
      job.write(lineOf(task, await answerDialogue(generation, task, job.options.sampling)));
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
      job.options.onProgress?.({ ...progress });
      // lets answers be taken up, and signals and timers in, between passes
      await new Promise(setImmediate);
    }
  } finally {
    job.write(null);
  }
  const failed = failure as { error: unknown } | null;
  if (failed !== null) throw failed.error;
  job.options.onProgress?.({ ...progress });
  return progress;
}

function lineOf(
  { prompt, index, voice }: DialogueTask,
  dialogues: readonly (readonly FinishedAnswer[])[],
): Line {
  const { text, followUps } = prompt;
  const answers = dialogues.map((turns) => {
    const all = turns.map(answerOf);
    const last = all.at(-1) as Answer;
    return followUps.length === 0 ? last : { ...last, turns: all };
  });
  const later = followUps.length === 0 ? {} : { follow_ups: followUps };
  return { index, prompt: text, ...later, adapter: voice.name, answers };
}

function answerOf({ text, reason, tokens }: FinishedAnswer): Answer {
  return { text, ended: reason === "stop", finish_reason: reason, tokens };
}
