/**
 * Fields that clients send and this server has not (tables): those of OpenAI's API, of vLLM and of llama.cpp's server beside
 * them, with the values that ask for nothing and what to do instead of the others.
 */
import type { UnservedField } from "./request-fields.ts";

type Neutral = UnservedField["neutral"];

/** Values that ask for nothing; none: every value asks for something. */
const only =
  (...values: unknown[]): Neutral =>
  (value) =>
    values.includes(value);
const isEmpty: Neutral = (value) =>
  typeof value === "object" && value !== null && Object.keys(value).length === 0;
const isText: Neutral = (value) => (value as { type?: unknown } | undefined)?.type === "text";

/** Whether a chat's last message is the assistant's, which is then continued. */
function continues({ messages }: Readonly<Record<string, unknown>>): boolean {
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : null;
  return (last as { role?: unknown } | null | undefined)?.role === "assistant";
}

/** The fields of each remedy. */
function fieldsOf(
  remedies: Readonly<Record<string, Readonly<Record<string, Neutral>>>>,
): Record<string, UnservedField> {
  return Object.fromEntries(
    Object.entries(remedies).flatMap(([instead, fields]) =>
      Object.entries(fields).map(([name, neutral]) => [name, { neutral, instead }]),
    ),
  );
}

const sampling = fieldsOf({
  "Special tokens are no part of a text: leave it out.": {
    skip_special_tokens: only(true),
    spaces_between_special_tokens: only(true),
  },
  "Stop texts are no part of a text: leave it out, and add them yourself.": {
    include_stop_str_in_output: only(false),
  },
  "Leave it out.": {
    ignore_eos: only(false),
    min_tokens: only(0),
    use_beam_search: only(false),
    length_penalty: only(1),
    typical_p: only(1),
    mirostat: only(0),
    priority: only(0),
    request_id: only(),
    return_token_ids: only(false),
    return_tokens_as_token_ids: only(false),
  },
  "Write the texts of these tokens into stop.": { stop_token_ids: isEmpty },
  "Use logit_bias.": { allowed_token_ids: only(), bad_words: isEmpty },
  "Use max_tokens.": { n_predict: only() },
  "Use repetition_penalty.": { repeat_penalty: only(1) },
  "Start the server with --no-prefix-caching, or leave it out.": {
    cache_prompt: only(true),
    cache_salt: only(),
  },
  "Shorten the prompt.": { truncate_prompt_tokens: only() },
  "Use echo with logprobs of /v1/completions.": { prompt_logprobs: only() },
});

const structured = {
  grammar: only(),
  guided_choice: only(),
  guided_grammar: only(),
  guided_json: only(),
  guided_regex: only(),
  json_schema: only(),
  structured_outputs: only(),
};

/** Those of /v1/chat/completions. */
export const unservedChat: Readonly<Record<string, UnservedField>> = {
  ...sampling,
  ...fieldsOf({
    "Answers are text here: leave tools out, or describe them in a message.": {
      tools: isEmpty,
      tool_choice: only("none", "auto"),
      functions: isEmpty,
      function_call: only("none", "auto"),
    },
    'Ask for the format in a message, or set response_format to {"type": "text"}.': {
      response_format: isText,
      ...structured,
    },
    'Answers are text: set it to ["text"].': { modalities: (value) => JSON.stringify(value) === '["text"]' },
    "Answers are text: leave it out.": { audio: only() },
    'Use chat_template_kwargs, e.g. {"enable_thinking": false}.': {
      reasoning_effort: only(),
      thinking_token_budget: only(),
    },
    "Thinking is part of the text: leave it out.": { include_reasoning: only(true) },
    "Put them into chat_template_kwargs.": { documents: only() },
    "Start the server with --chat-template.": { chat_template: only() },
    "A chat that ends in the assistant's message is continued, any other one answered: leave it out.": {
      continue_final_message: (value, body) => value === continues(body),
      add_generation_prompt: (value, body) => value === !continues(body),
    },
    "The chat template writes them: leave it out.": { add_special_tokens: only(false) },
    "Leave it out.": {
      echo: only(false),
      moderation: only(),
      prediction: only(),
      service_tier: only("auto", "default"),
      verbosity: only("medium"),
      web_search_options: only(),
    },
    "Answers are not stored: leave it out.": { store: only(false) },
    "Use top_logprobs with logprobs: true.": { n_probs: only(0) },
    "Use messages, or /v1/completions.": { prompt: only() },
  }),
};

/** Those of /v1/completions. */
export const unservedCompletions: Readonly<Record<string, UnservedField>> = {
  ...sampling,
  ...fieldsOf({
    "Ask for n answers with logprobs and choose among them.": {
      best_of: (value, { n }) => Number(value) === Number(n ?? 1),
    },
    "Leave it out.": { suffix: only("") },
    'Ask for the format in the prompt, or set response_format to {"type": "text"}.': {
      response_format: isText,
      ...structured,
    },
    "Write the prompt as token ids.": { add_special_tokens: only(true) },
    "Use max_tokens.": { max_completion_tokens: only(), n_predict: only() },
    "Use logprobs, a number here.": { top_logprobs: only(), n_probs: only(0) },
    "Use /v1/chat/completions.": { messages: only(), chat_template_kwargs: only() },
  }),
};
