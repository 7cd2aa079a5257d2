/**
 * Turns rows of text and conversations into token ids: the one path for training, evaluation and scoring.
 *
 * Promises, for every row: the prompt is tokenised once and shared by all answers; one BOS at most; every answer
 * ends with exactly one end-of-turn token, inside the loss; a row that cannot be encoded is an error that names it.
 */
import { createHash } from "node:crypto";

import { DataError, FormatError } from "../base/errors.ts";
import { warn } from "../base/warn.ts";
import { type ChatFormat, endOfText, eosIds, probeChatFormat } from "./chat-format.ts";
import { chatPrompt, chatRequests, finishChat, type PromptText } from "./encode-chat.ts";
import {
  type ConversationPlan,
  conversationRequests,
  finishConversation,
  lastTurnAsChat,
  planConversation,
} from "./encode-conversation.ts";
import { encodePlain, encodeText } from "./encode-plain.ts";
import type { ChatContext, RowRequest } from "./encode-turns.ts";
import { templateHash } from "./known-templates.ts";
import { type CheckOutcome, RenderingCheck, type WholeConversation } from "./rendering-check.ts";
import type { ChatRow, ConversationRow, EncodedRow, EncodeOutcome, SourceRow } from "./source-rows.ts";
import { createRenderer, type Rendering, TemplateError, type TemplateRenderer } from "./template.ts";
import type { RenderLimits } from "./template-process.ts";
import { chatTemplateOrigin, chatTemplateSource, isNamedIn, templatesInUse } from "./template-source.ts";
import { HalfPairError, type Tokenizer } from "./tokenizer.ts";

/** How rows are encoded. */
export interface EncoderOptions {
  /** Name of one of the tokenizer's templates, path of a file, or template text. Null: the tokenizer's own. */
  chatTemplate?: string | null;
  /** Value of the template's `enable_thinking`. Null leaves it undefined, which is each template's own default. */
  enableThinking?: boolean | null;
  /** Which assistant turns of a conversation are learned. */
  trainOn?: "all" | "last";
  /** False: what tools wrote inside an answer counts as the answer's, as in TRL's DPO. Default true: it does not. */
  maskToolOutput?: boolean;
  /** EOS ids of the model's generation config. */
  eosTokenIds?: readonly number[];
  /** More template variables for every row. */
  templateVariables?: Readonly<Record<string, unknown>>;
  /** What templates that write today's date take as today. Default: the beginning of today, in UTC. */
  now?: Date;
  /** Limits of templates that render in a child process. */
  limits?: Partial<RenderLimits>;
}

/** Encodes rows with one tokenizer and its chat template. Close it when done. */
export interface RowEncoder extends AsyncDisposable {
  /** Token ids or the error of each row, in order. A template that breaks its limits is the error of its row. */
  encode(rows: readonly SourceRow[]): Promise<EncodeOutcome[]>;
  /**
   * The text of a conversation's prompt, for who tokenises it in steps.
   *
   * @throws {DataError | FormatError} what `encode` gives as the row's error
   */
  promptText(row: ChatRow): Promise<PromptText>;
  /** How the chat template frames an answer. @throws FormatError when there is no usable template */
  chatFormat(): Promise<ChatFormat>;
  /** Whether conversations can be encoded: the tokenizer has a chat template, or one was given. */
  readonly hasChatTemplate: boolean;
  /** The tokens that end an answer: the model's EOS ids and, with a chat template, the token that ends a turn. */
  stopIds(): Promise<ReadonlySet<number>>;
  /** The chat templates that rows went through so far, each with the number of its rows. */
  templates(): TemplateUse[];
  /** Hash of all that decides which ids a row gets, for caches. See `textFingerprint`. */
  fingerprint(): string;
  close(): Promise<void>;
}

/** A chat template at work. Plain data, fit for JSON. */
export interface TemplateUse {
  /** Name of a known template's family; null for one that runs in a separate process. */
  family: string | null;
  /** SHA-256 of its text. */
  hash: string;
  /** File it stands in, or what `chat_template` says. */
  origin: string;
  rows: number;
}

const rowsAtOnce = 128;
const dayMs = 86_400_000;

/** An encoder for `tokenizer`. Templates are looked for when the first conversation comes. */
export function createRowEncoder(tokenizer: Tokenizer, options: EncoderOptions = {}): RowEncoder {
  const now = options.now ?? new Date(Math.floor(Date.now() / dayMs) * dayMs);
  return new Encoder(tokenizer, { ...options, now });
}

/**
 * SHA-256 of what decides the token ids of a row: tokenizer, special tokens, templates, policy and, where a template
 * writes the date, the date.
 */
function textFingerprint(tokenizer: Tokenizer, options: EncoderOptions & { now: Date }): string {
  const templates = templatesInUse(tokenizer, options.chatTemplate ?? null);
  const writesDate = templates.some((source) => source.includes("strftime_now"));
  const parts = {
    version: 2,
    tokenizer: tokenizer.fingerprint,
    addedTokens: tokenizer.addedTokens,
    specialTokens: [tokenizer.bosToken, tokenizer.eosToken, tokenizer.padToken, tokenizer.unkToken],
    // A tokenizer without others keeps its hash.
    ...otherTokens(tokenizer),
    templates: templates.map(templateHash),
    enableThinking: options.enableThinking ?? null,
    trainOn: options.trainOn ?? "all",
    maskToolOutput: options.maskToolOutput ?? true,
    eosTokenIds: options.eosTokenIds ?? [],
    variables: options.templateVariables ?? {},
    now: writesDate ? options.now.toISOString() : null,
  };
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** Special tokens that templates read beside the common four. */
function otherTokens({ specialTokens }: Tokenizer): { otherTokens?: Record<string, string> } {
  const common = ["bos_token", "eos_token", "pad_token", "unk_token"];
  const others = Object.entries(specialTokens).filter(([name]) => !common.includes(name));
  return others.length === 0 ? {} : { otherTokens: Object.fromEntries(others) };
}

/** A renderer with what was found out about its template. */
interface Chat {
  renderer: TemplateRenderer;
  context: ChatContext;
  check: RenderingCheck;
  use: TemplateUse;
}

/** One row's part in a batch of renderings, and what they are for. */
interface Job<T extends Noted = EncodedRow> {
  index: number;
  chat: Chat;
  requests: RowRequest[];
  finish: (rendered: Rendering[]) => T;
}

/** A note about a row. */
interface Noted {
  notes: EncodedRow["notes"];
}

class Encoder implements RowEncoder {
  readonly #tokenizer: Tokenizer;
  readonly #options: EncoderOptions & { now: Date };
  readonly #uses: TemplateUse[] = [];
  /** By template text. */
  readonly #chats: Map<string, Promise<Chat>> = new Map();
  readonly #renderers: TemplateRenderer[] = [];

  constructor(tokenizer: Tokenizer, options: EncoderOptions & { now: Date }) {
    this.#tokenizer = tokenizer;
    this.#options = options;
  }

  async encode(rows: readonly SourceRow[]): Promise<EncodeOutcome[]> {
    const outcomes: EncodeOutcome[] = [];
    for (let start = 0; start < rows.length; start += rowsAtOnce) {
      outcomes.push(...(await this.#encodeSome(rows.slice(start, start + rowsAtOnce))));
    }
    return outcomes;
  }

  async promptText(row: ChatRow): Promise<PromptText> {
    const job = await this.#promptJob(row).catch((error: unknown): never => {
      throw rowError(error, row.where);
    });
    const [outcome] = await renderJobs(job.chat, [job], [row]);
    job.chat.use.rows++;
    if (outcome === undefined) throw new Error("one row gives one outcome");
    if ("error" in outcome) throw outcome.error;
    return outcome.row;
  }

  async chatFormat(): Promise<ChatFormat> {
    return (await this.#chat(false)).context.format;
  }

  get hasChatTemplate(): boolean {
    return (this.#options.chatTemplate ?? null) !== null || this.#tokenizer.chatTemplates.default !== null;
  }

  async stopIds(): Promise<ReadonlySet<number>> {
    if (this.hasChatTemplate) return (await this.chatFormat()).stopIds;
    return eosIds(this.#tokenizer, this.#options.eosTokenIds ?? []);
  }

  templates(): TemplateUse[] {
    return this.#uses.filter(({ rows }) => rows > 0).map((use) => ({ ...use }));
  }

  fingerprint(): string {
    return textFingerprint(this.#tokenizer, this.#options);
  }

  async close(): Promise<void> {
    this.#chats.clear();
    await Promise.all(this.#renderers.splice(0).map((renderer) => renderer.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #encodeSome(rows: readonly SourceRow[]): Promise<EncodeOutcome[]> {
    const outcomes = new Array<EncodeOutcome | null>(rows.length).fill(null);
    const jobs: Job[] = [];
    for (const [index, row] of rows.entries()) {
      try {
        if (row.kind === "text" || row.kind === "plain") outcomes[index] = { row: this.#encodeNow(row) };
        else jobs.push({ index, ...this.#job(row, await this.#chat((row.tools ?? null) !== null)) });
      } catch (error) {
        const failure = rowError(error, row.where);
        outcomes[index] = { error: failure };
        if (failure instanceof DataError) continue;
        // The files are at fault, not the row: to find that again at every row may take long.
        outcomes.fill({ error: failure }, index);
        break;
      }
    }
    for (const chat of new Set(jobs.map((job) => job.chat))) {
      const mine = jobs.filter((job) => job.chat === chat);
      const finished = await renderJobs(chat, mine, rows);
      chat.use.rows += mine.length;
      for (const [i, job] of mine.entries()) outcomes[job.index] = finished[i] ?? null;
    }
    return outcomes.map(
      (outcome, i) => outcome ?? { error: new DataError(`${rows[i]?.where}: not encoded.`) },
    );
  }

  #encodeNow(row: Extract<SourceRow, { kind: "text" | "plain" }>): EncodedRow {
    const { id } = endOfText(this.#tokenizer, this.#options.eosTokenIds ?? []);
    return row.kind === "text" ? encodeText(row, this.#tokenizer, id) : encodePlain(row, this.#tokenizer, id);
  }

  #job(row: ChatRow | ConversationRow, chat: Chat): Omit<Job, "index"> {
    const { context } = chat;
    if (row.kind === "chat") return chatJob(row, chat, []);
    const plan: ConversationPlan = planConversation(row);
    if (this.#options.trainOn === "last") return chatJob(lastTurnAsChat(plan), chat, plan.notes);
    return {
      chat,
      requests: conversationRequests(plan, context),
      finish: (rendered) => finishConversation(plan, rendered, context),
    };
  }

  async #promptJob(row: ChatRow): Promise<Job<PromptText>> {
    const chat = await this.#chat((row.tools ?? null) !== null);
    const { context } = chat;
    const finish = (rendered: Rendering[]) => chatPrompt(row, rendered, context);
    return { index: 0, chat, requests: chatRequests(row, context), finish };
  }

  #chat(hasTools: boolean): Promise<Chat> {
    const source = chatTemplateSource(this.#tokenizer, this.#options.chatTemplate ?? null, hasTools);
    let chat = this.#chats.get(source);
    if (chat === undefined) {
      chat = this.#open(
        source,
        chatTemplateOrigin(this.#tokenizer, this.#options.chatTemplate ?? null, hasTools),
      );
      this.#chats.set(source, chat);
    }
    return chat;
  }

  async #open(source: string, origin: string): Promise<Chat> {
    const tokenizer = this.#tokenizer;
    const { enableThinking = null, templateVariables, eosTokenIds = [], limits, now } = this.#options;
    const { maskToolOutput = true } = this.#options;
    if (enableThinking !== null && !isNamedIn([source], "enable_thinking")) {
      warn(
        `enable_thinking ${enableThinking}: the chat template (${origin}) does not read it, so that it changes nothing.`,
      );
    }
    const { specialTokens } = tokenizer;
    const renderer = createRenderer(source, { specialTokens, now, ...limits });
    this.#renderers.push(renderer);
    const variables = {
      ...templateVariables,
      ...(enableThinking === null ? {} : { enable_thinking: enableThinking }),
    };
    const format = await probeChatFormat(renderer, tokenizer, { variables, eosTokenIds });
    const { family, hash } = renderer;
    const use: TemplateUse = { family, hash, origin, rows: 0 };
    this.#uses.push(use);
    return {
      renderer,
      use,
      check: new RenderingCheck(renderer, describeTemplate(use)),
      context: { tokenizer, format, variables, hasMarks: renderer.hasMarks, maskToolOutput },
    };
  }
}

/** A template for people: `chatml, tokenizer_config.json`. */
export function describeTemplate({ family, hash, origin }: Omit<TemplateUse, "rows">): string {
  return `${family ?? `unknown, SHA-256 ${hash.slice(0, 12)}`}, ${origin}`;
}

function chatJob(row: ChatRow, chat: Chat, notes: EncodedRow["notes"]): Omit<Job, "index"> {
  return {
    chat,
    requests: chatRequests(row, chat.context),
    finish: (rendered) => {
      const encoded = finishChat(row, rendered, chat.context);
      return { ...encoded, notes: [...notes, ...encoded.notes] };
    },
  };
}

/** Renders all jobs' requests in one go, checks that nothing of the rows is left out, and finishes each. */
async function renderJobs<T extends Noted>(
  chat: Chat,
  jobs: Job<T>[],
  rows: readonly SourceRow[],
): Promise<({ row: T } | { error: DataError | FormatError })[]> {
  const results = await chat.renderer.renderEach(jobs.flatMap((job) => job.requests));
  let next = 0;
  const wholes: { job: Job<T>; whole: WholeConversation }[] = [];
  const rendered = jobs.map((job): Rendering[] | Error => {
    const mine = results.slice(next, next + job.requests.length);
    next += job.requests.length;
    const failed = mine.find((result) => "error" in result);
    if (failed !== undefined) return failed.error;
    const renderings = mine as Rendering[];
    for (const [i, request] of job.requests.entries()) {
      const { learnedFrom, mayDropAnsweredCalls = false } = request;
      if (learnedFrom === undefined) continue;
      const rendered = renderings[i]?.text ?? "";
      const whole = { where: whereOf(rows, job), request, rendered, learnedFrom, mayDropAnsweredCalls };
      wholes.push({ job, whole });
    }
    return renderings;
  });
  const checks = await chat.check.check(wholes.map(({ whole }) => whole));
  let fault: FormatError | null = null;
  return jobs.map((job, i) => {
    if (fault !== null) return { error: fault };
    const mine = checks.filter((_, at) => wholes[at]?.job === job);
    try {
      return { row: finishJob(job, rendered[i] ?? [], mine) };
    } catch (error) {
      const failure = rowError(error, whereOf(rows, job));
      if (!(failure instanceof DataError)) fault = failure;
      return { error: failure };
    }
  });
}

function whereOf(rows: readonly SourceRow[], { index }: Pick<Job, "index">): string {
  return rows[index]?.where ?? "row";
}

function finishJob<T extends Noted>(
  job: Job<T>,
  rendered: Rendering[] | Error,
  checks: readonly CheckOutcome[],
): T {
  if (rendered instanceof Error) throw rendered;
  for (const check of checks) if ("error" in check) throw check.error;
  const row = job.finish(rendered);
  const notes = new Set(row.notes);
  for (const check of checks) {
    if ("error" in check) continue;
    if (check.dropsCalls) notes.add("history_calls_dropped");
    if (check.dropsThinking && !row.notes.includes("turn_rewritten")) notes.add("history_thinking_dropped");
  }
  return { ...row, notes: [...notes] };
}

/** Errors a row can cause, naming the row; anything else is a fault of this program and is rethrown. */
function rowError(error: unknown, where: string): DataError | FormatError {
  if (error instanceof TemplateError) {
    const message = `${where}: ${error.message}`;
    if (error.kind === "raised") return new DataError(message, { cause: error });
    return new TemplateError(error.kind, message);
  }
  if (error instanceof HalfPairError) return new DataError(`${where}: ${error.message}`, { cause: error });
  if (error instanceof DataError || error instanceof FormatError) return error;
  throw error;
}
