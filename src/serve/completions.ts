/** The routes that answer prompts: /v1/chat/completions and /v1/completions. */
import { randomInt } from "node:crypto";
import { admitted, type CompletionAsk } from "./completion-reply.ts";
import { type AnswerBounds, type AskOptions, engineRequests } from "./generation.ts";
import { chatForm, completionForm } from "./replies.ts";
import { readRequest } from "./request-body.ts";
import { invalid, required } from "./request-fields.ts";
import type { PromptRoutes, ReadRequest } from "./request-reader.ts";
import type { SamplingFields } from "./request-tables.ts";
import { adapterNamed, type Ctx, type ServeContext } from "./serve-context.ts";

/** Longest answer of /v1/completions where none is asked for, as in OpenAI's API. */
const plainFallback = 16;

/** POST /v1/chat/completions */
export async function chatCompletions(c: Ctx, context: ServeContext): Promise<Response> {
  const request = await readRequest(c, context, "chat");
  const { fields } = request;
  const { logprobs: wantsLogprobs = false, top_logprobs: top = 0 } = fields;
  return begun(c, context, {
    request,
    logprobs: wantsLogprobs ? top : null,
    form: request.continuesTurn ? "continuation" : "chat",
    asked: fields.max_completion_tokens ?? fields.max_tokens ?? null,
    check: () => {
      if (top > 0 && !wantsLogprobs) throw invalid("top_logprobs", "expected logprobs to be true with it.");
      const { max_tokens: old, max_completion_tokens: now } = fields;
      if (old !== undefined && now !== undefined && old !== now) {
        throw invalid("max_tokens", "expected it or max_completion_tokens, got two limits. Leave one out.");
      }
    },
    reply: (usage) => ({ form: chatForm({ usage, logprobs: wantsLogprobs }), idPrefix: "chatcmpl" }),
  });
}

/** POST /v1/completions */
export async function completions(c: Ctx, context: ServeContext): Promise<Response> {
  const request = await readRequest(c, context, "completion");
  const { logprobs, echo = false, max_tokens: asked = plainFallback } = request.fields;
  return begun(c, context, {
    request,
    logprobs: logprobs ?? null,
    form: echo ? "echo" : "completion",
    asked,
    check: () => {
      if (asked === 0 && !echo) throw invalid("max_tokens", "expected at least 1; 0 goes with echo: true.");
    },
    reply: (usage) => ({
      form: completionForm({ usage, logprobs: logprobs !== undefined }),
      idPrefix: "cmpl",
    }),
  });
}

/** A request that was read, and what its route makes of it. */
interface Begun extends Pick<AskOptions, "logprobs" | "form" | "asked"> {
  request: ReadRequest<keyof PromptRoutes>;
  /** What the fields have to be to each other. @throws {ApiError} */
  check: () => void;
  reply: (usage: boolean) => Pick<CompletionAsk, "form" | "idPrefix">;
}

async function begun(
  c: Ctx,
  context: ServeContext,
  { request, check, reply, ...ask }: Begun,
): Promise<Response> {
  const { fields, prompts: count } = request;
  const { vocabSize } = context.model;
  try {
    const adapter = adapterOf(c, fields, context);
    check();
    const stream = streamOf(fields);
    return await admitted(c, context, {
      answers: (fields.n ?? 1) * count,
      stream,
      prepare: async () => {
        const { prompts, stopIds, echoes, warning } = await request.encode();
        c.get("releaseBody")();
        const bounds = boundsOf(context);
        const freshSeed = randomInt(2 ** 32);
        const isWhole = stream === null;
        const options = { ...ask, prompts, stopIds, adapter, bounds, vocabSize, freshSeed, isWhole };
        return { requests: engineRequests(fields, options), echoes, warning };
      },
      ...reply(stream?.usage ?? false),
    });
  } finally {
    request.drop();
  }
}

function boundsOf({ model, limits }: ServeContext): AnswerBounds {
  return { context: model.contextTokens, answer: limits.maxNewTokens, cache: limits.maxCacheTokens };
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
  throw invalid("stream_options", "expected stream to be true with it.");
}
