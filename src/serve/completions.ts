/** The routes that answer prompts: /v1/chat/completions and /v1/completions. */
import { randomInt } from "node:crypto";
import { ApiError } from "./api-error.ts";
import { chatMessages } from "./chat-messages.ts";
import { admitted } from "./completion-reply.ts";
import { type AnswerBounds, engineRequests } from "./generation.ts";
import { chatForm, completionForm } from "./replies.ts";
import { jsonBody } from "./request-body.ts";
import { invalid, readFields, required } from "./request-fields.ts";
import { type CompletionFields, chatTable, completionTable, type SamplingFields } from "./request-tables.ts";
import { adapterNamed, type Ctx, type ServeContext } from "./serve-context.ts";

/** Longest answer of /v1/completions where none is asked for, as in OpenAI's API. */
const plainFallback = 16;

/** POST /v1/chat/completions */
export async function chatCompletions(c: Ctx, context: ServeContext): Promise<Response> {
  const { model, limits } = context;
  const fields = readFields(await jsonBody(c), chatTable(limits));
  const adapter = adapterOf(c, fields, context);
  const messages = chatMessages(required(fields, "messages"));
  const { logprobs: wantsLogprobs = false, top_logprobs: top = 0 } = fields;
  if (top > 0 && !wantsLogprobs) throw invalid("top_logprobs", "expected logprobs to be true with it.");
  const logprobs = wantsLogprobs ? top : null;
  const stream = streamOf(fields);
  return admitted(c, context, {
    answers: fields.n ?? 1,
    stream,
    prepare: async () => {
      const variables = fields.chat_template_kwargs ?? {};
      const encoded = await model.prompts.encode({ kind: "chat", messages, variables });
      const { prompts, stopIds, warning } = encoded;
      const requests = engineRequests(fields, {
        prompts,
        stopIds,
        logprobs,
        form: messages.at(-1)?.role === "assistant" ? "continuation" : "chat",
        adapter,
        asked: fields.max_completion_tokens ?? fields.max_tokens ?? null,
        bounds: boundsOf(context),
        vocabSize: model.vocabSize,
        freshSeed: randomInt(2 ** 32),
      });
      return { requests, echoes: null, warning };
    },
    form: chatForm({ usage: stream?.usage ?? false, logprobs: wantsLogprobs }),
    idPrefix: "chatcmpl",
  });
}

/** POST /v1/completions */
export async function completions(c: Ctx, context: ServeContext): Promise<Response> {
  const { model, limits } = context;
  const fields = readFields(await jsonBody(c), completionTable(limits));
  const adapter = adapterOf(c, fields, context);
  const prompt = required(fields, "prompt");
  const { echo = false, max_tokens: asked = plainFallback } = fields;
  if (asked === 0 && !echo) throw invalid("max_tokens", "expected at least 1; 0 goes with echo: true.");
  const stream = streamOf(fields);
  return admitted(c, context, {
    answers: (fields.n ?? 1) * promptCount(prompt),
    stream,
    prepare: async () => {
      const { prompts, stopIds, echoes } = await model.prompts.encode({ kind: "plain", prompt, echo });
      const requests = engineRequests(fields, {
        prompts,
        stopIds,
        logprobs: fields.logprobs ?? null,
        form: echo ? "echo" : "completion",
        adapter,
        asked,
        bounds: boundsOf(context),
        vocabSize: model.vocabSize,
        freshSeed: randomInt(2 ** 32),
      });
      return { requests, echoes, warning: null };
    },
    form: completionForm({ usage: stream?.usage ?? false, logprobs: fields.logprobs !== undefined }),
    idPrefix: "cmpl",
  });
}

function boundsOf({ model, limits }: ServeContext): AnswerBounds {
  return { context: model.contextTokens, answer: limits.maxNewTokens, cache: limits.maxCacheTokens };
}

function promptCount(prompt: CompletionFields["prompt"]): number {
  return typeof prompt === "string" || typeof prompt[0] === "number" ? 1 : prompt.length;
}

function adapterOf(c: Ctx, fields: Partial<SamplingFields>, { model }: ServeContext): string | null {
  const name = required(fields, "model");
  const adapter = adapterNamed(name, model);
  c.get("record").model = name;
  return adapter;
}

/** null: no stream. */
function streamOf(fields: Partial<SamplingFields>): { usage: boolean } | null {
  if (fields.stream === true) return { usage: fields.stream_options?.include_usage ?? false };
  if (fields.stream_options === undefined) return null;
  throw new ApiError("invalidValue", "stream_options: expected stream to be true with it.", {
    param: "stream_options",
  });
}
