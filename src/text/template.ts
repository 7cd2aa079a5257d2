/**
 * Renders conversations to text with a model's chat template.
 * Known templates run in this process; any other runs in a child process with limits.
 */
import { DataError, FormatError, messageOf } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import {
  catchesText,
  chooseMarks,
  generationVariables,
  hasGenerationMarks,
  type Marks,
  readGenerationMarks,
  type TextSpan,
} from "./generation-marks.ts";
import { type CompiledTemplate, compileTemplate, type TemplateInput } from "./jinja/compile.ts";
import { knownTemplate, templateHash } from "./known-templates.ts";
import { contentText } from "./message-text.ts";
import type { Message } from "./messages.ts";
import {
  type FailureKind,
  type ProcessReply,
  type RenderLimits,
  TemplateProcess,
} from "./template-process.ts";

/** A conversation to render. */
export interface RenderRequest {
  messages: readonly Message[];
  /** JSON schemas of the tools the assistant may call. */
  tools?: readonly unknown[] | null;
  /** True: end with the beginning of an assistant's turn. */
  addGenerationPrompt: boolean;
  /** More template variables, such as `enable_thinking`. */
  variables?: Readonly<Record<string, unknown>>;
  /** What `strftime_now` reads as now (UTC). Default: the renderer's. */
  now?: Date | undefined;
}

/** A rendered conversation. */
export interface Rendering {
  text: string;
  /** What the template marks as the assistant's (`{% generation %}`); null for templates that mark nothing. */
  generated: readonly TextSpan[] | null;
}

const noVariable =
  "transformers' apply_chat_template has an argument of that name, and templates do not see it: leave it out.";

/** Names that are no template's: what a rendering sets, and the other arguments of transformers' `apply_chat_template`. */
const ownVariables: Readonly<Record<string, string>> = {
  messages: "Give the conversation itself.",
  conversation: "Give it as messages.",
  tools: "Give them beside the conversation.",
  add_generation_prompt:
    "A prompt ends with the beginning of the assistant's turn, a completion has its own.",
  continue_final_message: "A prompt that ends in an assistant's turn is continued, any other begins one.",
  chat_template: "The template is one for all conversations: name it where the model is named.",
  tokenize: noVariable,
  sanitize_control_tokens: noVariable,
  padding: noVariable,
  truncation: noVariable,
  max_length: noVariable,
  return_tensors: noVariable,
  return_dict: noVariable,
  return_assistant_tokens_mask: noVariable,
  tokenizer_kwargs: noVariable,
};

/**
 * Refuses `chat_template_kwargs` that transformers takes as arguments, which its templates do not get, and `documents` that it
 * refuses.
 *
 * @throws {DataError} naming the variable
 */
export function refuseOwnVariables(variables: Readonly<Record<string, unknown>>, where: string): void {
  const name = Object.keys(variables).find((one) => Object.hasOwn(ownVariables, one));
  if (name !== undefined) {
    throw new DataError(`${where}: expected variables of the template, got ${name}. ${ownVariables[name]}`);
  }
  const { documents = null } = variables;
  if (documents === null || (Array.isArray(documents) && documents.every(isRecord))) return;
  throw new DataError(
    `${where}: expected documents to be a list of objects like {"title": "...", "text": "..."}. Fix or remove it.`,
  );
}

/** What one request gave. */
export type RenderOutcome = Rendering | { error: TemplateError };

/** Renders conversations with one chat template. */
export interface TemplateRenderer extends AsyncDisposable {
  /** SHA-256 of the template. */
  readonly hash: string;
  /** Family of a known template, null for one that renders in a child process. */
  readonly family: string | null;
  /** Whether the template marks what the assistant wrote. */
  readonly hasMarks: boolean;
  /** The texts of all requests. @throws TemplateError for the first request that fails */
  render(requests: readonly RenderRequest[]): Promise<string[]>;
  /** The text or the error of each request. */
  renderEach(requests: readonly RenderRequest[]): Promise<RenderOutcome[]>;
  /** Ends the child process, if there is one. */
  close(): Promise<void>;
}

/** Variables and limits of a renderer. */
export interface RendererOptions extends Partial<RenderLimits> {
  /** Variables of every rendering: the tokenizer's special tokens by name. */
  specialTokens?: Readonly<Record<string, string>>;
  /** What `strftime_now` reads as now (UTC). Fixed for the life of the renderer, so that every row says the same, unless a request has another. */
  now?: Date;
}

/** A chat template could not be rendered. `kind` "raised": the template itself refused this conversation. */
export class TemplateError extends FormatError {
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The longest chat templates of published models have some 30,000. */
const maxTemplateCharacters = 1_000_000;

/** Limits of a child process unless others are given. */
const defaultRenderLimits: Readonly<RenderLimits> = {
  timeoutMs: 500,
  memoryMb: 64,
  maxOutput: 4 * 1024 * 1024,
};

/**
 * A renderer of the template `source`.
 *
 * @throws TemplateError of kind "invalid" when a known template does not parse; for others the first render says so
 */
export function createRenderer(source: string, options: RendererOptions = {}): TemplateRenderer {
  if (source.length > maxTemplateCharacters) {
    throw new TemplateError(
      "invalid",
      `Expected a chat template of at most ${maxTemplateCharacters} characters, got ${source.length}. Give another with chat_template.`,
    );
  }
  const hash = templateHash(source);
  const family = knownTemplate(hash);
  const limits: RenderLimits = {
    timeoutMs: options.timeoutMs ?? defaultRenderLimits.timeoutMs,
    memoryMb: options.memoryMb ?? defaultRenderLimits.memoryMb,
    maxOutput: options.maxOutput ?? defaultRenderLimits.maxOutput,
  };
  const hasMarks = hasGenerationMarks(source);
  const backend = family === null ? new TemplateProcess(source, limits) : new LocalTemplate(source);
  const parts = { backend, limits, options, catchesText: catchesText(source) };
  return new Renderer({ hash, family, hasMarks }, parts);
}

interface Backend {
  render(input: TemplateInput): Promise<ProcessReply>;
  close(): Promise<void>;
}

interface RendererParts {
  backend: Backend;
  limits: RenderLimits;
  options: RendererOptions;
  catchesText: boolean;
}

const changedMarks =
  "it changes the text that its tag generation marks, in a block set, filter, macro or call, so that the assistant's part " +
  "cannot be found. Put the tag around what is written last, or take it out";

class Renderer implements TemplateRenderer {
  readonly hash: string;
  readonly family: string | null;
  readonly hasMarks: boolean;
  readonly #backend: Backend;
  readonly #limits: RenderLimits;
  readonly #specialTokens: Readonly<Record<string, string>>;
  readonly #now: number;
  /** Whether its text may be another with marks of the assistant's part inside. */
  readonly #catchesText: boolean;
  #emptyBesideCalls: Promise<"" | null> | null = null;

  constructor(
    { hash, family, hasMarks }: Pick<TemplateRenderer, "hash" | "family" | "hasMarks">,
    { backend, limits, options, catchesText }: RendererParts,
  ) {
    this.hash = hash;
    this.family = family;
    this.hasMarks = hasMarks;
    this.#backend = backend;
    this.#limits = limits;
    this.#specialTokens = options.specialTokens ?? {};
    this.#now = (options.now ?? new Date()).getTime();
    this.#catchesText = catchesText;
  }

  async render(requests: readonly RenderRequest[]): Promise<string[]> {
    const outcomes = await this.renderEach(requests);
    return outcomes.map((outcome) => {
      if ("error" in outcome) throw outcome.error;
      return outcome.text;
    });
  }

  async renderEach(requests: readonly RenderRequest[]): Promise<RenderOutcome[]> {
    return Promise.all(requests.map((request) => this.#render(request)));
  }

  close(): Promise<void> {
    return this.#backend.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #render(request: RenderRequest): Promise<RenderOutcome> {
    const marks = this.hasMarks ? chooseMarks([request.messages, request.tools, request.variables]) : null;
    if (this.hasMarks && marks === null) {
      return { error: this.#error({ kind: "raised", reason: "it holds all of Unicode's noncharacters" }) };
    }
    const isProbed = request.messages.some(callsAlone);
    if (isProbed) this.#emptyBesideCalls ??= this.#probeCalls();
    const empty = isProbed ? await this.#emptyBesideCalls : "";
    const reply = await this.#backend.render(this.#input(request, marks, empty));
    if ("kind" in reply) return { error: this.#error(reply) };
    if (marks === null) return { text: reply.text, generated: null };
    const read = readGenerationMarks(reply.text, marks);
    // the text is what transformers writes, which puts no marks into it
    const plain = this.#catchesText ? await this.#backend.render(this.#input(request, null, empty)) : read;
    if (read === null || plain === null || !("text" in plain) || plain.text !== read.text) {
      return { error: this.#error({ kind: "raised", reason: changedMarks }) };
    }
    return { text: read.text, generated: read.spans };
  }

  /**
   * The content of a message that only calls tools: "", but null where the template writes its calls with that alone, as
   * DeepSeek-R1's distilled models do.
   */
  async #probeCalls(): Promise<"" | null> {
    const name = "preftune_call";
    const marks = this.hasMarks ? chooseMarks([]) : null;
    const writes = async (empty: "" | null): Promise<boolean> => {
      // templates take arguments as an object or as text
      const replies = [{}, "{}"].map((given) => {
        const call = { id: "call00001", type: "function", function: { name, arguments: given } };
        const calling: Message = { role: "assistant", content: "", tool_calls: [call] };
        const messages: Message[] = [{ role: "user", content: "?" }, calling];
        return this.#backend.render(this.#input({ messages, addGenerationPrompt: false }, marks, empty));
      });
      return (await Promise.all(replies)).some((reply) => "text" in reply && reply.text.includes(name));
    };
    return !(await writes("")) && (await writes(null)) ? null : "";
  }

  #input(request: RenderRequest, marks: Marks | null, empty: "" | null): TemplateInput {
    const variables = {
      ...this.#specialTokens,
      documents: null,
      ...request.variables,
      ...(marks === null ? {} : generationVariables(marks)),
      messages: request.messages.map((message) => templateMessage(message, empty)),
      tools: request.tools ?? null,
      add_generation_prompt: request.addGenerationPrompt,
    };
    return { variables, now: request.now?.getTime() ?? this.#now };
  }

  #error({ kind, reason }: { kind: FailureKind; reason: string }): TemplateError {
    const { timeoutMs, memoryMb, maxOutput } = this.#limits;
    const detail = reason.replace(/\.\s*$/, "");
    const messages: Record<FailureKind, string> = {
      raised: `The chat template refused this conversation: ${detail}.`,
      invalid: invalidTemplate(detail),
      timeout:
        `The chat template took longer than ${timeoutMs} ms for one conversation and was stopped. ` +
        `Give another with chat_template.`,
      memory:
        `The chat template needed more than ${memoryMb} MiB for one conversation and was stopped. ` +
        `Give another with chat_template.`,
      output:
        `Expected at most ${maxOutput} characters from the chat template for one conversation, but it wrote more. ` +
        `Give another with chat_template.`,
      crash: `The process that renders the chat template ended unexpectedly (${detail}).`,
    };
    return new TemplateError(kind, messages[kind]);
  }
}

function invalidTemplate(reason: string): string {
  return `Expected a Jinja chat template, but it cannot be read: ${reason}. Give another with chat_template.`;
}

/** A message as templates see it. As in transformers 5, the reasoning has the name that gpt-oss reads as well. */
function templateMessage(message: Message, empty: "" | null): Record<string, unknown> {
  const { reasoning_content: thinking } = message;
  const content = callsAlone(message) ? empty : contentText(message);
  return { ...(thinking === undefined ? {} : { thinking }), ...message, content };
}

/** Whether a message calls tools and says nothing. */
function callsAlone(message: Message): boolean {
  return (message.tool_calls?.length ?? 0) > 0 && contentText(message) === "";
}

/** A known template in this process. */
class LocalTemplate implements Backend {
  readonly #template: CompiledTemplate;

  constructor(source: string) {
    try {
      this.#template = compileTemplate(source);
    } catch (error) {
      throw new TemplateError("invalid", invalidTemplate(messageOf(error)));
    }
  }

  async render(input: TemplateInput): Promise<ProcessReply> {
    try {
      return { text: this.#template(input) };
    } catch (error) {
      return { kind: "raised", reason: messageOf(error) };
    }
  }

  async close(): Promise<void> {
    // Nothing to end.
  }
}
