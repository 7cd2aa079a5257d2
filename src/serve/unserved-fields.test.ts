/** Every field that OpenAI's client and vLLM know is used, without effect, or refused with what to do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ChatCompletionCreateParams } from "openai/resources/chat/completions";
import type { CompletionCreateParams } from "openai/resources/completions";
import { ApiError } from "./api-error.ts";
import { readFields } from "./request-fields.ts";
import { chatTable, completionTable, REQUEST_LIMITS } from "./request-tables.ts";

const chat = chatTable(REQUEST_LIMITS);
const plain = completionTable(REQUEST_LIMITS);

/** What OpenAI's client has; the compiler asks for those that a later version has. */
const ofChats: Record<keyof ChatCompletionCreateParams, true> = {
  messages: true,
  model: true,
  audio: true,
  frequency_penalty: true,
  function_call: true,
  functions: true,
  logit_bias: true,
  logprobs: true,
  max_completion_tokens: true,
  max_tokens: true,
  metadata: true,
  modalities: true,
  moderation: true,
  n: true,
  parallel_tool_calls: true,
  prediction: true,
  presence_penalty: true,
  prompt_cache_key: true,
  prompt_cache_options: true,
  prompt_cache_retention: true,
  reasoning_effort: true,
  response_format: true,
  safety_identifier: true,
  seed: true,
  service_tier: true,
  stop: true,
  store: true,
  stream: true,
  stream_options: true,
  temperature: true,
  tool_choice: true,
  tools: true,
  top_logprobs: true,
  top_p: true,
  user: true,
  verbosity: true,
  web_search_options: true,
};
const ofCompletions: Record<keyof CompletionCreateParams, true> = {
  model: true,
  prompt: true,
  best_of: true,
  echo: true,
  frequency_penalty: true,
  logit_bias: true,
  logprobs: true,
  max_tokens: true,
  n: true,
  presence_penalty: true,
  seed: true,
  stop: true,
  stream: true,
  stream_options: true,
  suffix: true,
  temperature: true,
  top_p: true,
  user: true,
};

test("no field of OpenAI's client is unknown", () => {
  for (const [table, names] of [
    [chat, ofChats],
    [plain, ofCompletions],
  ] as const) {
    const known = new Set([...Object.keys(table.served), ...Object.keys(table.unserved), ...table.ignored]);
    assert.deepEqual(
      Object.keys(names).filter((name) => !known.has(name)),
      [],
    );
  }
});

/** Defaults of vLLM's ChatCompletionRequest and CompletionRequest: clients that spell them out ask for nothing. */
const defaults = {
  use_beam_search: false,
  length_penalty: 1.0,
  stop_token_ids: [],
  include_stop_str_in_output: false,
  ignore_eos: false,
  min_tokens: 0,
  skip_special_tokens: true,
  spaces_between_special_tokens: true,
  truncate_prompt_tokens: null,
  prompt_logprobs: null,
  allowed_token_ids: null,
  bad_words: [],
  response_format: { type: "text" },
  structured_outputs: null,
  priority: 0,
  return_tokens_as_token_ids: null,
  cache_salt: null,
};

test("vLLM's defaults are let through; what asks for something names what to do", () => {
  const messages = [{ role: "user", content: "hi" }];
  const ofChat = {
    ...defaults,
    echo: false,
    add_generation_prompt: true,
    continue_final_message: false,
    add_special_tokens: false,
    documents: null,
    chat_template: null,
    include_reasoning: true,
    thinking_token_budget: null,
  };
  assert.deepEqual(readFields({ ...ofChat, messages }, chat), { messages });
  assert.deepEqual(readFields({ ...defaults, add_special_tokens: true }, plain), {});
  const cases: [table: typeof chat | typeof plain, name: string, value: unknown, instead: RegExp][] = [
    [chat, "stop_token_ids", [7], /texts of these tokens into stop/],
    [chat, "documents", [{ text: "a" }], /chat_template_kwargs/],
    [chat, "chat_template", "{{ 1 }}", /--chat-template/],
    [chat, "guided_json", {}, /format in a message/],
    [chat, "add_special_tokens", true, /chat template writes them/],
    [chat, "n_predict", 5, /max_tokens/],
    [chat, "moderation", { model: "m" }, /Leave it out/],
    [plain, "add_special_tokens", false, /token ids/],
    [plain, "max_completion_tokens", 5, /max_tokens/],
    [plain, "top_logprobs", 5, /logprobs, a number here/],
    [plain, "messages", messages, /chat\/completions/],
  ];
  for (const [table, name, value, instead] of cases) {
    assert.throws(
      () => readFields<object>({ [name]: value }, table),
      (error: unknown) => {
        assert.ok(error instanceof ApiError);
        assert.deepEqual([error.code, error.param], ["unsupported_parameter", name]);
        assert.match(error.message, instead);
        return true;
      },
    );
  }
});

test("whether the last message is continued may be said as it is, and not otherwise", () => {
  const user = { role: "user", content: "hi" };
  const begun = { role: "assistant", content: "Well" };
  const read = (messages: object[], rest: object) => readFields({ messages, ...rest }, chat);
  read([user, begun], { continue_final_message: true, add_generation_prompt: false });
  read([user], { continue_final_message: false, add_generation_prompt: true });
  assert.throws(() => read([user, begun], { continue_final_message: false }), /is continued/);
  assert.throws(() => read([user, begun], { add_generation_prompt: true }), /is continued/);
  assert.throws(() => read([user], { continue_final_message: true }), /any other one answered/);
});

test("a stray key is named where it stands; a token id has one spelling", () => {
  const options = { stream_options: { include_usage: true, includ_usage: true } };
  assert.throws(() => readFields(options, chat), /at stream_options\.includ_usage/);
  readFields({ stream_options: { include_usage: true, continuous_usage_stats: false } }, chat);
  for (const id of ["007", "00", "+7", "7.0"])
    assert.throws(
      () => readFields({ logit_bias: { [id]: 1 } }, chat),
      /numbers from -100 to 100 by token id/,
    );
  readFields({ logit_bias: { "0": 1, "10": -1 } }, chat);
});
