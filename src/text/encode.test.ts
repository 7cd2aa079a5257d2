import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { assistant, user } from "../../test/support/messages.ts";
import { type ToyOptions, withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { ConfigError, DataError, FormatError } from "../base/errors.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { createRowEncoder, type EncoderOptions } from "./encode.ts";
import type { Message } from "./messages.ts";
import { type ChatRow, EmptyAnswerError, type EncodedRow, type SourceRow } from "./source-rows.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";

const chat = (prompt: Message[], ...answers: string[]): ChatRow => ({
  kind: "chat",
  where: "row",
  prompt,
  completions: answers.map((answer) => [assistant(answer)]),
});

interface Encoded extends EncodedRow {
  prompt: string;
  answers: string[];
  /** The learned part of the first answer. */
  learned: string;
}

function show(tokenizer: Tokenizer, row: EncodedRow): Encoded {
  const decode = (ids: number[]): string => tokenizer.decode(ids, { skipSpecialTokens: false });
  const [first] = row.completions;
  const learned = first?.ids.filter((_, i) => first.mask?.[i] !== 0) ?? [];
  return {
    ...row,
    prompt: decode(row.promptIds),
    answers: row.completions.map(({ ids }) => decode(ids)),
    learned: decode(learned),
  };
}

interface Setup {
  toy?: ToyOptions;
  options?: EncoderOptions;
}

async function encodeAll(rows: SourceRow[], { toy = {}, options = {} }: Setup = {}) {
  return withToyTokenizer({ chatTemplate: chatMl, ...toy }, async (directory) => {
    const tokenizer = loadTokenizer(directory);
    await using encoder = createRowEncoder(tokenizer, options);
    const outcomes = await encoder.encode(rows);
    return outcomes.map((outcome) => ("row" in outcome ? show(tokenizer, outcome.row) : outcome.error));
  });
}

async function encodeOne(row: SourceRow, setup: Setup = {}): Promise<Encoded> {
  const [outcome] = await encodeAll([row], setup);
  if (outcome === undefined || outcome instanceof Error) throw outcome ?? new Error("no outcome");
  return outcome;
}

test("a preference pair shares its prompt and each answer ends once", async () => {
  const row = await encodeOne(chat([user("q")], "yes", "no"));
  assert.equal(row.prompt, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n");
  assert.deepEqual(row.answers, ["yes<|im_end|>", "no<|im_end|>"]);
  assert.deepEqual(row.notes, []);
  assert.equal(row.boundaryMoved, 0);
});

test("the tokens that end an answer: EOS ids, and the template's end of turn", async () => {
  const stopIds = (toy: ToyOptions, eosTokenIds: number[]) =>
    withToyTokenizer(toy, async (directory) => {
      await using encoder = createRowEncoder(loadTokenizer(directory), { eosTokenIds });
      return new Set(await encoder.stopIds());
    });
  const withoutEos = { eos_token: null };
  assert.deepEqual(await stopIds({}, [0]), new Set([0, 2]));
  assert.deepEqual(await stopIds({ chatTemplate: chatMl }, [0]), new Set([2, 0]));
  assert.deepEqual(await stopIds({ chatTemplate: chatMl, prependBos: true }, [0]), new Set([2, 0, 4]));
  // no token stands for an EOS that the tokenizer has not
  assert.deepEqual(await stopIds({ chatTemplate: chatMl, config: withoutEos }, []), new Set([2]));
  assert.deepEqual(await stopIds({ config: withoutEos }, [3]), new Set([3]));
});

test("an answer that merges with the prompt moves the boundary for both answers", async () => {
  // "\n\n" is one token, so the newline that ends the prompt belongs to the answer that begins with two more.
  const row = await encodeOne(chat([user("q")], "\n\nyes", "no"));
  assert.equal(row.prompt, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant");
  assert.deepEqual(row.answers, ["\n\n\nyes<|im_end|>", "\nno<|im_end|>"]);
  assert.equal(row.boundaryMoved, 1);
  assert.deepEqual(row.notes, ["boundary_moved"]);
});

test("prompt and answer are the joint tokenisation, whatever the answer", async () => {
  await withToyTokenizer({ chatTemplate: chatMl }, async (directory) => {
    const tokenizer = loadTokenizer(directory);
    await using encoder = createRowEncoder(tokenizer);
    const text = fc.string({ unit: fc.constantFrom("\n", " ", "a", "l", "é", "🙂", "漢"), maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(text, text, text, async (question, yes, no) => {
        const [outcome] = await encoder.encode([chat([user(question)], yes, no)]);
        if (yes.trim() === "" || no.trim() === "") {
          assert.ok(outcome !== undefined && "error" in outcome && outcome.error instanceof EmptyAnswerError);
          return;
        }
        assert.ok(outcome !== undefined && "row" in outcome);
        for (const [i, answer] of [yes, no].entries()) {
          const whole = `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n${answer}<|im_end|>`;
          const ids: number[] = [...outcome.row.promptIds, ...(outcome.row.completions[i]?.ids ?? [])];
          assert.deepEqual(ids, tokenizer.encode(whole, { addSpecialTokens: false }));
        }
      }),
      { numRuns: 50 },
    );
  });
});

test("an end-of-turn token inside an answer is noted", async () => {
  const row = await encodeOne(chat([user("q")], "a<|im_end|>b"));
  assert.deepEqual(row.answers, ["a<|im_end|>b<|im_end|>"]);
  assert.deepEqual(row.notes, ["end_of_turn_inside"]);
});

test("text that a template writes after the end of turn is left out", async () => {
  const always = `${chatMl}{{ '<|im_start|>assistant\n' if not add_generation_prompt else '' }}`;
  const phi = `${chatMl}{% if not add_generation_prompt %}{{ '<|endoftext|>' }}{% endif %}`;
  for (const chatTemplate of [always, phi]) {
    const row = await encodeOne(chat([user("q")], "yes"), { toy: { chatTemplate } });
    assert.deepEqual(row.answers, ["yes<|im_end|>"]);
  }
});

test("a template without a terminator gets the tokenizer's EOS", async () => {
  const chatTemplate =
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" +
    "{% if add_generation_prompt %}assistant: {% endif %}";
  const row = await encodeOne(chat([user("q")], "yes"), { toy: { chatTemplate, prependBos: true } });
  assert.equal(row.prompt, "<s>user: q\nassistant: ");
  assert.deepEqual(row.answers, ["yes</s>"]);
  assert.deepEqual(row.notes, ["end_of_turn_added"]);
});

test("a second BOS at the beginning is left out", async () => {
  const chatTemplate = `{{ bos_token }}{{ bos_token }}${chatMl}`;
  const row = await encodeOne(chat([user("q")], "yes"), { toy: { chatTemplate, prependBos: true } });
  assert.ok(row.prompt.startsWith("<s><|im_start|>"));
  assert.deepEqual(row.notes, ["double_bos"]);
});

test("a generation prompt that the template forgets in the history is kept before the answer", async () => {
  const chatTemplate = chatMl.replace("assistant\n' }}", "assistant\n<think>\n' }}");
  const row = await encodeOne(chat([user("q")], "yes", "no"), { toy: { chatTemplate } });
  assert.ok(row.prompt.endsWith("<|im_start|>assistant\n<think>\n"));
  assert.deepEqual(row.answers, ["yes<|im_end|>", "no<|im_end|>"]);
  assert.deepEqual(row.notes, ["generation_prompt_joined"]);
});

test("text behind the generation prompt stays before the answer", async () => {
  const row = await encodeOne(chat([user("q")], "yes"), { toy: { chatTemplate: `${chatMl} ` } });
  assert.equal(row.prompt, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n ");
  assert.deepEqual(row.answers, ["yes<|im_end|>"]);
});

test("a prompt that reads differently with its answer is an error with the difference", async () => {
  const chatTemplate = `{{ messages | length }} messages\n${chatMl}`;
  await assert.rejects(encodeOne(chat([user("q")], "yes"), { toy: { chatTemplate } }), (error) => {
    assert.ok(error instanceof DataError);
    assert.match(
      error.message,
      /^row: .*the prompt alone has "1 messages.*with the answer there is "2 messages/,
    );
    return true;
  });
});

test("errors name their row and leave the others alone", async () => {
  const chatTemplate = `{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}${chatMl}`;
  const outcomes = await encodeAll(
    [
      chat([user("a")], "b"),
      { ...chat([{ role: "system", content: "s" }], "b"), where: "pairs.jsonl:2" },
      { ...chat([user("a")]), where: "pairs.jsonl:3", completions: [[user("b")]] },
      { ...chat([], "b"), where: "pairs.jsonl:4" },
      chat([user("c")], "d"),
    ],
    { toy: { chatTemplate } },
  );
  assert.deepEqual(
    outcomes.map((outcome) => (outcome instanceof Error ? outcome.message : outcome.answers[0])),
    [
      "b<|im_end|>",
      "pairs.jsonl:2: The chat template refused this conversation: no system.",
      "pairs.jsonl:3: expected an answer to begin and end with an assistant message, but it begins with user. Fix the row.",
      "pairs.jsonl:4: expected at least one message in the prompt. Add one or remove the row.",
      "d<|im_end|>",
    ],
  );
  assert.ok(outcomes[1] instanceof DataError);
});

test("conversations need a template and the encoder says which is wrong", async () => {
  await assert.rejects(encodeOne(chat([user("q")], "a"), { toy: { chatTemplate: null } }), FormatError);
  await assert.rejects(encodeOne(chat([user("q")], "a"), { options: { chatTemplate: "nope" } }), ConfigError);
});

const turns = [user("q1"), assistant("a1"), user("q2"), assistant("a2")];
const conversation = (messages: Message[]): SourceRow => ({ kind: "conversation", where: "row", messages });

test("every assistant turn of a conversation is learned, with its end", async () => {
  const row = await encodeOne(conversation([{ role: "system", content: "s" }, ...turns, user("bye")]));
  assert.equal(
    row.prompt,
    "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\n",
  );
  assert.deepEqual(row.answers, [
    "a1<|im_end|>\n<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\na2<|im_end|>",
  ]);
  assert.equal(row.learned, "a1<|im_end|>a2<|im_end|>");
  assert.equal(row.completions[0]?.mask?.length, row.completions[0]?.ids.length);
  assert.deepEqual(row.notes, ["trailing_messages_dropped"]);
});

test("train_on last learns the last turn alone", async () => {
  const row = await encodeOne(conversation(turns), { options: { trainOn: "last" } });
  assert.ok(row.prompt.endsWith("a1<|im_end|>\n<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\n"));
  assert.deepEqual(row.answers, ["a2<|im_end|>"]);
  assert.equal(row.completions[0]?.mask, undefined);
});

test("a conversation that the assistant begins, or has no part in", async () => {
  const row = await encodeOne(conversation([assistant("welcome"), ...turns]));
  assert.equal(row.learned, "a1<|im_end|>a2<|im_end|>");
  assert.deepEqual(row.notes, ["leading_assistant_skipped"]);
  for (const messages of [[user("q")], [assistant("a")]]) {
    await assert.rejects(encodeOne(conversation(messages)), /nothing to learn from this row/);
  }
});

test("a template without a terminator learns the turns as they stand", async () => {
  const chatTemplate =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
  const row = await encodeOne(conversation(turns), { toy: { chatTemplate } });
  assert.equal(row.prompt, "user: q1\nassistant:");
  assert.equal(row.learned, " a1 a2<|im_end|>");
  assert.deepEqual(row.notes, ["end_of_turn_added", "boundary_moved"]);
});

test("a turn that the history rewrites is learned as it stands there, and noted", async () => {
  const chatTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content if loop.last or m.role == 'user' else m.content | upper }}" +
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const row = await encodeOne(conversation(turns), { toy: { chatTemplate } });
  assert.equal(row.learned, "A1<|im_end|>a2<|im_end|>");
  assert.deepEqual(row.notes, ["turn_rewritten"]);
});

test("a template that writes what came before differently is refused for all turns, not for the last", async () => {
  const chatTemplate = `{{ 'long' if messages | length > 3 else 'short' }}${chatMl}`;
  await assert.rejects(
    encodeOne(conversation([...turns, user("q3"), assistant("a3")]), { toy: { chatTemplate } }),
    /before assistant turn 2 .*Set train_on to "last"/,
  );
  const options: EncoderOptions = { trainOn: "last" };
  const row = await encodeOne(conversation([...turns, user("q3"), assistant("a3")]), {
    toy: { chatTemplate },
    options,
  });
  assert.equal(row.learned, "a3<|im_end|>");
});

const text = (prompt: string, ...completions: string[]): SourceRow => ({
  kind: "text",
  where: "row",
  prompt,
  completions,
});

test("plain text: one BOS, one EOS, and tokens that merge across the boundary are the answer's", async () => {
  const row = await encodeOne(text("say ", "all", "a</s>"), { toy: { prependBos: true } });
  assert.equal(row.prompt, "<s>say");
  assert.deepEqual(row.answers, [" all</s>", " a</s>"]);
  assert.equal(row.boundaryMoved, 1);
  const appended = await encodeOne(text("say", " x", ""), { toy: { prependBos: true, appendEos: true } });
  assert.equal(appended.prompt, "<s>say");
  assert.deepEqual(appended.answers, [" x</s>", "</s>"]);
  const doubled = await encodeOne(text("<s>say", "x"), { toy: { prependBos: true } });
  assert.equal(doubled.prompt, "<s>say");
  assert.deepEqual(doubled.notes, ["double_bos"]);
});

test("an empty prompt is the BOS, or an error without one", async () => {
  const row = await encodeOne(text("", "x"), { toy: { prependBos: true } });
  assert.equal(row.prompt, "<s>");
  await assert.rejects(encodeOne(text("", "x")), /expected a prompt of at least one token, but it is empty/);
});

test("running text: the first token is the prompt and EOS ends it", async () => {
  const plain = (value: string): SourceRow => ({ kind: "plain", where: "row", text: value });
  const withBos = await encodeOne(plain("all a"), { toy: { prependBos: true } });
  assert.deepEqual([withBos.prompt, ...withBos.answers], ["<s>", "all a</s>"]);
  const without = await encodeOne(plain("x"));
  assert.deepEqual([without.prompt, ...without.answers], ["x", "<|im_end|>"]);
  await assert.rejects(encodeOne(plain("")), /got an empty string/);
  await assert.rejects(encodeOne(plain(" \n")), EmptyAnswerError);
});

test("without any EOS, text is refused and the generation config can help", async () => {
  const toy: ToyOptions = { config: { eos_token: null } };
  await assert.rejects(encodeOne(text("a", "b"), { toy }), /Expected an eos_token/);
  const row = await encodeOne(text("a", "b"), { toy, options: { eosTokenIds: [4] } });
  assert.deepEqual(row.answers, ["b</s>"]);
});

test("the fingerprint follows what decides the ids, and nothing else", async () => {
  await withToyTokenizer({ chatTemplate: chatMl }, (directory) => {
    const of = (options: EncoderOptions): string =>
      createRowEncoder(loadTokenizer(directory), options).fingerprint();
    const base = of({});
    assert.match(base, /^[0-9a-f]{64}$/);
    assert.equal(of({ now: new Date(0), limits: { timeoutMs: 5 } }), base);
    const dated = (day: number): EncoderOptions => ({
      chatTemplate: "{{ strftime_now('%d') }}",
      now: new Date(Date.UTC(2024, 0, day)),
    });
    const all = [
      base,
      of({ enableThinking: false }),
      of({ enableThinking: true }),
      of({ trainOn: "last" }),
      of({ eosTokenIds: [2] }),
      of({ templateVariables: { x: 1 } }),
      of({ chatTemplate: `${chatMl} ` }),
      of(dated(1)),
      of(dated(2)),
    ];
    assert.equal(new Set(all).size, all.length);
  });
});

test("thousands of rows with an unknown template are quick", async () => {
  const rows = Array.from({ length: 1000 }, (_, i) => chat([user(`question ${i}`)], `yes ${i}`, `no ${i}`));
  const outcomes = await encodeAll(rows, { toy: { chatTemplate: `${chatMl}{# mine #}` } });
  const answers = outcomes.map((outcome) =>
    outcome instanceof Error ? outcome.message : outcome.answers[1],
  );
  assert.deepEqual(
    answers,
    rows.map((_, i) => `no ${i}<|im_end|>`),
  );
});

test("a turn of weight 0 stays in the conversation and out of the loss, wherever it stands", async () => {
  const unlearned = (content: string): Message => ({ ...assistant(content), weight: 0 });
  const conversation = (...messages: Message[]): SourceRow => ({
    kind: "conversation",
    where: "row",
    messages,
  });
  const whole = [user("a"), assistant("b"), user("c"), assistant("d"), user("e"), assistant("f")];
  const all = await encodeOne(conversation(...whole));
  const idsOf = (row: Encoded): number[] => [...row.promptIds, ...(row.completions[0]?.ids ?? [])];
  const learned = { 1: "d<|im_end|>f<|im_end|>", 3: "b<|im_end|>f<|im_end|>", 5: "b<|im_end|>d<|im_end|>" };
  for (const [at, text] of Object.entries(learned)) {
    const messages = whole.map((message, i) =>
      i === Number(at) ? { ...message, weight: 0 as const } : message,
    );
    const row = await encodeOne(conversation(...messages));
    assert.equal(row.learned, text, at);
    assert.deepEqual(idsOf(row), idsOf(all), "the tokens are the same, the mask is not");
  }
  const nothing = conversation(user("a"), unlearned("b"));
  const notTheLast = conversation(...whole.slice(0, 3), unlearned("d"));
  const [none] = await encodeAll([nothing]);
  const [last, other] = await encodeAll([nothing, notTheLast], { options: { trainOn: "last" } });
  assert.match(String(none), /nothing to learn from this row/);
  assert.match(String(last), /nothing to learn from this row/);
  assert.match(String(other), /the last assistant turn to count in the loss \(train_on: last\)/);
});
