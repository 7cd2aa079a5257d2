/**
 * What the chat templates of the families do: default system messages, roles that raise, dates, prompts that are no beginning of
 * their conversation, begun thinking, ends of turn that are not eos, one token for eos, pad and bos. The templates here are short
 * ones with the traits of the published, which are not ours to copy; bytes stand for tokens.
 */
import assert from "node:assert/strict";
import test from "node:test";

import { assistant, user } from "../../test/support/messages.ts";
import { type ToyOptions, withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { createRowEncoder, type EncoderOptions, type RowEncoder } from "./encode.ts";
import type { Message } from "./messages.ts";
import type { SourceRow } from "./source-rows.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";

const system = (content: string): Message => ({ role: "system", content });
const where = "rows.jsonl:7";
const pair = (prompt: Message[], ...answers: Message[]): SourceRow => ({
  kind: "chat",
  where,
  prompt,
  completions: answers.map((answer) => [answer]),
});
const yesOrNo = (...prompt: Message[]): SourceRow => pair(prompt, assistant("yes"), assistant("no"));
const talk = (...messages: Message[]): SourceRow => ({ kind: "conversation", where, messages });
const twoTurns = talk(user("q"), assistant("yes"), user("r"), assistant("no"));

/** A tokenizer of a family, and how its rows are encoded. */
interface Setup extends Pick<ToyOptions, "controls" | "prependBos"> {
  template: string;
  /** Special tokens of tokenizer_config.json. */
  tokens: { eos_token: string; pad_token?: string; bos_token?: string };
  options?: EncoderOptions;
}

async function withFamily<T>(
  { template, tokens, options = {}, ...toy }: Setup,
  body: (encoder: RowEncoder, tokenizer: Tokenizer) => Promise<T>,
): Promise<T> {
  return withToyTokenizer({ ...toy, chatTemplate: template, config: tokens }, async (directory) => {
    const tokenizer = loadTokenizer(directory);
    await using encoder = createRowEncoder(tokenizer, options);
    return await body(encoder, tokenizer);
  });
}

interface Shown {
  prompt: string;
  answers: string[];
  /** Of each answer what counts in the loss, a bar between parts. */
  learned: string[];
  notes: string[];
}

/** Rows as text, or the messages of their errors. */
async function show(setup: Setup, ...rows: SourceRow[]): Promise<(Shown | string)[]> {
  return withFamily(setup, async (encoder, tokenizer) => {
    const decode = (ids: readonly number[]) => tokenizer.decode([...ids], { skipSpecialTokens: false });
    return (await encoder.encode(rows)).map((outcome) => {
      if ("error" in outcome) return outcome.error.message;
      const { promptIds, completions, notes } = outcome.row;
      const learned = completions.map(({ ids, mask }) =>
        runs(ids, mask ?? ids.map(() => 1))
          .map(decode)
          .join("|"),
      );
      return {
        prompt: decode(promptIds),
        answers: completions.map(({ ids }) => decode(ids)),
        learned,
        notes,
      };
    });
  });
}

/** The stretches of ids that count. */
function runs(ids: readonly number[], mask: readonly number[]): number[][] {
  const all: number[][] = [];
  for (const [i, id] of ids.entries()) {
    if (mask[i] === 0) continue;
    if (i > 0 && mask[i - 1] === 1) all.at(-1)?.push(id);
    else all.push([id]);
  }
  return all;
}

const shown = (prompt: string, answers: string[], notes: string[] = []): Shown => ({
  ...{ prompt, answers, learned: answers, notes },
});

/** Turns of ChatML behind a system turn of the template's own, where the conversation has none. */
const chatMlWith = (defaultSystem: string, asking = ""): string =>
  `{% if messages[0]['role'] != 'system' %}<|im_start|>system\n${defaultSystem}<|im_end|>\n{% endif %}` +
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}" +
  `{% if add_generation_prompt %}{{ '<|im_start|>assistant\n${asking}' }}{% endif %}`;

const qwen: Setup = {
  template: chatMlWith("You are helpful."),
  // of a base model: eos is the padding token, and no turn ends with it
  tokens: { eos_token: "<|endoftext|>", pad_token: "<|endoftext|>" },
};

test("Qwen2.5: a default system message, an end of turn that is not eos, eos that is the padding token", async () => {
  const head = "<|im_start|>system\nYou are helpful.<|im_end|>\n";
  const asked = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n";
  const [bare, own, turns, text] = await show(
    qwen,
    yesOrNo(user("q")),
    yesOrNo(system("Be brief."), user("q")),
    twoTurns,
    { kind: "text", where, prompt: "a<|endoftext|>b", completions: ["c<|endoftext|>d"] },
  );
  assert.deepEqual(bare, shown(`${head}${asked}`, ["yes<|im_end|>", "no<|im_end|>"]));
  assert.deepEqual(
    own,
    shown(`<|im_start|>system\nBe brief.<|im_end|>\n${asked}`, ["yes<|im_end|>", "no<|im_end|>"]),
  );
  // the newline behind an end of turn is the template's
  assert.deepEqual((turns as Shown).learned, ["yes<|im_end|>|no<|im_end|>"]);
  assert.deepEqual(text, shown("a<|endoftext|>b", ["c<|endoftext|>d<|endoftext|>"], ["end_of_turn_inside"]));
  const stops = await withFamily(qwen, async (encoder, tokenizer) =>
    [...(await encoder.stopIds())].map((id) => tokenizer.decode([id], { skipSpecialTokens: false })),
  );
  assert.deepEqual(stops, ["<|im_end|>", "<|endoftext|>"]);
});

/** @param place - the user's turn that holds a system message: the first, as version 1, or the last, as later ones */
const mistral = (place: "first" | "last"): Setup => ({
  template:
    "{% if messages[0]['role'] == 'system' %}{% set said = messages[0]['content'] + '\n\n' %}{% set turns = messages[1:] %}" +
    "{% else %}{% set said = '' %}{% set turns = messages %}{% endif %}{% set users = turns | selectattr('role', 'equalto', 'user') | list %}" +
    "{{ bos_token }}{% for m in turns %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}" +
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}" +
    `{% if m['role'] == 'user' %}{{ '[INST] ' + (said if m == users[${place === "first" ? 0 : -1}] else '') + m['content'] + ' [/INST]' }}` +
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}",
  tokens: { bos_token: "<s>", eos_token: "</s>" },
  prependBos: true,
});

test("Mistral: no generation prompt, roles that must alternate, a system message in a user's turn", async () => {
  const [plain, twice, told, turns] = await show(
    mistral("first"),
    yesOrNo(user("q")),
    yesOrNo(user("q"), user("r")),
    yesOrNo(system("Be brief."), user("q"), assistant("a"), user("r")),
    twoTurns,
  );
  assert.deepEqual(plain, shown("<s>[INST] q [/INST]", [" yes</s>", " no</s>"]));
  assert.equal(
    twice,
    `${where}: The chat template refused this conversation: roles must alternate user/assistant.`,
  );
  const first = "<s>[INST] Be brief.\n\nq [/INST] a</s>[INST] r [/INST]";
  assert.deepEqual(told, shown(first, [" yes</s>", " no</s>"]));
  assert.deepEqual((turns as Shown).learned, [" yes</s>| no</s>"]);
});

test("Mistral, later versions: a system message in the last user's turn is another text at each turn", async () => {
  const conversation = talk(system("Be brief."), user("q"), assistant("yes"), user("r"), assistant("no"));
  const [told, turns] = await show(
    mistral("last"),
    yesOrNo(system("Be brief."), user("q"), assistant("a"), user("r")),
    conversation,
  );
  const last = "<s>[INST] q [/INST] a</s>[INST] Be brief.\n\nr [/INST]";
  assert.deepEqual(told, shown(last, [" yes</s>", " no</s>"]));
  assert.match(
    String(turns),
    /expected the chat template to write the messages before assistant turn 3 the same way.*Set train_on to "last"/,
  );
  const [alone] = await show({ ...mistral("last"), options: { trainOn: "last" } }, conversation);
  assert.deepEqual(alone, shown(last.replace(" a<", " yes<"), [" no</s>"]));
});

const smollm3: Setup = {
  template:
    "{% set mode = '/no_think' if enable_thinking is defined and not enable_thinking else '/think' %}" +
    "{{ '<|im_start|>system\nToday: ' + strftime_now('%d %B %Y') + '\nMode: ' + mode + '<|im_end|>\n' }}" +
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}{% generation %}" +
    "{{ ('<think>\n\n</think>\n' if mode == '/no_think' else '') + m['content'] + '<|im_end|>\n' }}{% endgeneration %}" +
    "{% else %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' + ('<think>\n\n</think>\n' if mode == '/no_think' else '') }}{% endif %}",
  tokens: { eos_token: "<|im_end|>" },
  options: { now: new Date("2025-07-08T00:00:00Z") },
};

test("SmolLM3: the date it is given, the mode, a begun empty thinking block, generation marks", async () => {
  const head = (mode: string) =>
    `<|im_start|>system\nToday: 08 July 2025\nMode: ${mode}<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n`;
  const [thinking, turns] = await show(smollm3, yesOrNo(user("q")), twoTurns);
  assert.deepEqual(thinking, shown(head("/think"), ["yes<|im_end|>", "no<|im_end|>"]));
  // the marks take in the newline behind an end of turn that another turn follows, as in transformers' masks
  assert.deepEqual((turns as Shown).learned, ["yes<|im_end|>\n|no<|im_end|>"]);
  const off = { ...smollm3, options: { ...smollm3.options, enableThinking: false } };
  const [silent] = await show(off, yesOrNo(user("q")));
  assert.deepEqual(
    silent,
    shown(`${head("/no_think")}<think>\n\n</think>\n`, ["yes<|im_end|>", "no<|im_end|>"]),
  );
});

test("SmolLM3: a render differs by day, and so does what caches of rows go by", async () => {
  const on = (day: string) => ({ ...smollm3, options: { now: new Date(`${day}T00:00:00Z`) } });
  const prints = await Promise.all(
    ["2025-07-08", "2025-07-09"].map((day) =>
      withFamily(on(day), async (encoder) => {
        const [outcome] = await encoder.encode([yesOrNo(user("q"))]);
        return [encoder.fingerprint(), outcome !== undefined && "row" in outcome && outcome.row.promptIds];
      }),
    ),
  );
  assert.notDeepEqual(prints[0], prints[1]);
  assert.notEqual(prints[0]?.[0], prints[1]?.[0]);
});

const olmo2: Setup = {
  template:
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}" +
    "{{ '<|assistant|>\n' + m['content'] + eos_token }}{{ '' if loop.last else '\n' }}" +
    "{% else %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '\n' }}{% endif %}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
  tokens: { bos_token: "<|endoftext|>", eos_token: "<|endoftext|>" },
};

test("OLMo 2: bos is eos, and the last answer alone ends without a newline", async () => {
  const [row, turns] = await show(olmo2, yesOrNo(user("q")), twoTurns);
  const head = "<|endoftext|><|user|>\nq\n<|assistant|>\n";
  assert.deepEqual(row, shown(head, ["yes<|endoftext|>", "no<|endoftext|>"]));
  assert.deepEqual(turns, {
    prompt: head,
    answers: ["yes<|endoftext|>\n<|user|>\nr\n<|assistant|>\nno<|endoftext|>"],
    learned: ["yes<|endoftext|>|no<|endoftext|>"],
    notes: [],
  });
});

test("OLMo 3: a default system message, a begun thought, two tokens that end an answer", async () => {
  const setup = {
    template: chatMlWith("You are Olmo.", "<think>"),
    tokens: { eos_token: "<|endoftext|>" },
    options: { eosTokenIds: [2, 0] },
  };
  const [row] = await show(setup, yesOrNo(user("q")));
  assert.deepEqual(
    row,
    shown(
      "<|im_start|>system\nYou are Olmo.<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n<think>",
      ["yes<|im_end|>", "no<|im_end|>"],
      ["generation_prompt_joined"],
    ),
  );
  const stops = await withFamily(setup, (encoder) => encoder.stopIds());
  assert.deepEqual(stops, new Set([2, 0]));
});

const phiControls = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|im_sep|>"];
/** @param newline - behind each token, as Phi-3 has it, or none, as Phi-4-mini */
const phi = (newline: string): Setup => ({
  template:
    `{% for m in messages %}{{ '<|' + m['role'] + '|>${newline}' + m['content'] + '<|end|>${newline}' }}{% endfor %}` +
    `{% if add_generation_prompt %}{{ '<|assistant|>${newline}' }}{% else %}{{ eos_token }}{% endif %}`,
  tokens: { eos_token: "<|endoftext|>", pad_token: "<|endoftext|>" },
  controls: phiControls,
});

for (const [name, newline] of [
  ["Phi-3", "\n"],
  ["Phi-4-mini", ""],
] as const) {
  test(`${name}: a prompt that is no beginning of its conversation, an end of turn that is not eos`, async () => {
    const [row, turns] = await show(phi(newline), yesOrNo(user("q")), twoTurns);
    const head = ["<|user|>", "q<|end|>", "<|assistant|>"].map((part) => part + newline).join("");
    assert.deepEqual(row, shown(head, ["yes<|end|>", "no<|end|>"]));
    assert.deepEqual(turns, {
      prompt: head,
      answers: [`yes<|end|>${newline}${head.replace("q", "r")}no<|end|>`],
      learned: ["yes<|end|>|no<|end|>"],
      notes: [],
    });
    const format = await withFamily(phi(newline), (encoder) => encoder.chatFormat());
    assert.deepEqual([format.endOfTurn, [...format.stopIds].length], ["<|end|>", 2]);
  });
}

test("Phi-4 14B: a token between role and content", async () => {
  const setup: Setup = {
    template:
      "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '<|im_sep|>' + m['content'] + '<|im_end|>' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}",
    tokens: { eos_token: "<|endoftext|>" },
    controls: phiControls,
  };
  const [row, turns] = await show(setup, yesOrNo(user("q")), twoTurns);
  const head = "<|im_start|>user<|im_sep|>q<|im_end|><|im_start|>assistant<|im_sep|>";
  assert.deepEqual(row, shown(head, ["yes<|im_end|>", "no<|im_end|>"]));
  assert.deepEqual((turns as Shown).learned, ["yes<|im_end|>|no<|im_end|>"]);
});

test("Gemma 2: no system role, contents trimmed, bos by the template alone, an end of turn that is not eos", async () => {
  const setup: Setup = {
    template:
      "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" +
      "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim + '<end_of_turn>\n' }}" +
      "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
    tokens: { bos_token: "<s>", eos_token: "</s>", pad_token: "<|endoftext|>" },
    controls: ["<start_of_turn>", "<end_of_turn>"],
    prependBos: true,
  };
  const [row, told, turns] = await show(
    setup,
    pair([user(" q\n")], assistant(" yes "), assistant("no\n")),
    yesOrNo(system("Be brief."), user("q")),
    twoTurns,
  );
  const head = "<s><start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\n";
  assert.deepEqual(row, shown(head, ["yes<end_of_turn>", "no<end_of_turn>"]));
  assert.equal(told, `${where}: The chat template refused this conversation: System role not supported.`);
  assert.deepEqual((turns as Shown).learned, ["yes<end_of_turn>|no<end_of_turn>"]);
  const format = await withFamily(setup, (encoder) => encoder.chatFormat());
  assert.deepEqual(format.stopTexts, ["<end_of_turn>", "</s>"]);
});

test("Gemma 4: a thought is written behind the last user's message alone", async () => {
  const setup: Setup = {
    template:
      "{{ bos_token }}{% set at = namespace(last=-1) %}{% for m in messages %}{% if m['role'] == 'user' %}{% set at.last = loop.index0 %}{% endif %}{% endfor %}" +
      "{% for m in messages %}{{ '<|turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' }}" +
      "{% if m['reasoning_content'] and loop.index0 > at.last %}{{ '<|channel>thought\n' + m['reasoning_content'] + '<channel|>' }}{% endif %}" +
      "{{ m['content'] + '<turn|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|turn>model\n' }}{% endif %}",
    tokens: { bos_token: "<s>", eos_token: "</s>" },
    controls: ["<|turn>", "<turn|>", "<|channel>", "<channel|>"],
    prependBos: true,
  };
  const [row, turns] = await show(
    setup,
    pair(
      [system("Be brief."), user("q"), assistant("a", { reasoning_content: "hm" }), user("r")],
      assistant("yes", { reasoning_content: "so" }),
      assistant("no"),
    ),
    talk(
      user("q"),
      assistant("yes", { reasoning_content: "hm" }),
      user("r"),
      assistant("no", { reasoning_content: "so" }),
    ),
  );
  assert.deepEqual(
    row,
    shown(
      "<s><|turn>system\nBe brief.<turn|>\n<|turn>user\nq<turn|>\n<|turn>model\na<turn|>\n<|turn>user\nr<turn|>\n<|turn>model\n",
      ["<|channel>thought\nso<channel|>yes<turn|>", "no<turn|>"],
      ["history_thinking_dropped"],
    ),
  );
  const { learned, notes } = turns as Shown;
  assert.deepEqual(learned, ["yes<turn|>|<|channel>thought\nso<channel|>no<turn|>"]);
  // an earlier answer is learned as the history shows it, and the report counts it
  assert.deepEqual(notes, ["turn_rewritten"]);
});

test("Granite: one token is bos, eos and pad, ends every turn, and the mask goes by position", async () => {
  const setup: Setup = {
    template:
      "{% if messages[0]['role'] != 'system' %}{{ '<|start_of_role|>system<|end_of_role|>Today is ' + strftime_now('%B %d, %Y') + '.<|endoftext|>\n' }}{% endif %}" +
      "{% for m in messages %}{{ '<|start_of_role|>' + m['role'] + '<|end_of_role|>' + m['content'] + '<|endoftext|>\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}",
    tokens: { bos_token: "<|endoftext|>", eos_token: "<|endoftext|>", pad_token: "<|endoftext|>" },
    controls: ["<|start_of_role|>", "<|end_of_role|>"],
    options: { now: new Date("2025-04-01T00:00:00Z"), eosTokenIds: [0] },
  };
  const [row, turns] = await show(setup, yesOrNo(user("q")), twoTurns);
  const head =
    "<|start_of_role|>system<|end_of_role|>Today is April 01, 2025.<|endoftext|>\n" +
    "<|start_of_role|>user<|end_of_role|>q<|endoftext|>\n<|start_of_role|>assistant<|end_of_role|>";
  assert.deepEqual(row, shown(head, ["yes<|endoftext|>", "no<|endoftext|>"]));
  // four turns end with the token between the first answer and the last; those of the assistant's two count
  assert.deepEqual(turns, {
    prompt: head,
    answers: [
      "yes<|endoftext|>\n<|start_of_role|>user<|end_of_role|>r<|endoftext|>\n<|start_of_role|>assistant<|end_of_role|>no<|endoftext|>",
    ],
    learned: ["yes<|endoftext|>|no<|endoftext|>"],
    notes: [],
  });
});

test("a template of another family: what ends its turns is no token of the tokenizer, eos is added and counted", async () => {
  const [row] = await show(
    {
      template:
        "{% for m in messages %}{{ '<start_of_turn>' + m['role'] + '\n' + m['content'] + '<end_of_turn>\n' }}{% endfor %}" +
        "{% if add_generation_prompt %}{{ '<start_of_turn>assistant\n' }}{% endif %}",
      tokens: { eos_token: "<|im_end|>" },
    },
    yesOrNo(user("q")),
  );
  const head = "<start_of_turn>user\nq<end_of_turn>\n<start_of_turn>assistant\n";
  assert.deepEqual(row, shown(head, ["yes<|im_end|>", "no<|im_end|>"], ["end_of_turn_added"]));
});
