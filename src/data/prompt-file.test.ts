import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { toyFiles } from "../../test/support/toy-tokenizer.ts";
import { DataError } from "../base/errors.ts";
import { createRowEncoder } from "../text/encode.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { type PromptFormat, readPrompts } from "./prompt-file.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-prompts-"));
after(() => rmSync(root, { recursive: true }));

function tokenizer(name: string, options: Parameters<typeof toyFiles>[0]): Tokenizer {
  const files = toyFiles(options);
  const dir = mkdtempSync(join(root, name));
  writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(files.tokenizer));
  writeFileSync(join(dir, "tokenizer_config.json"), JSON.stringify(files.config));
  return loadTokenizer(dir);
}

const chatty = tokenizer("chat", { chatTemplate: chatMl });
const bare = tokenizer("bare", {});

let files = 0;
function file(rows: readonly unknown[]): string {
  files += 1;
  const path = join(root, `${files}.jsonl`);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

/** The prompts, and the tokens that end an answer to them. */
async function read(
  path: string,
  from: Tokenizer,
  { eosTokenIds = [], ...format }: PromptFormat & { eosTokenIds?: number[] } = {},
) {
  await using encoder = createRowEncoder(from, { eosTokenIds });
  return { prompts: await readPrompts(path, encoder, format), stopIds: await encoder.stopIds() };
}

const user = (content: string) => ({ role: "user", content });
const text = (from: Tokenizer, ids: readonly number[]) => from.decode(ids, { skipSpecialTokens: false });
const asked = (content: string) => `<|im_start|>user\n${content}<|im_end|>\n<|im_start|>assistant\n`;

const rows = [
  { prompt: "one" },
  { prompt: [user("two")], chosen: "x", rejected: "y" },
  {
    messages: [
      user("first"),
      { role: "assistant", content: "yes" },
      user("three"),
      { role: "assistant", content: "left out" },
    ],
  },
  { question_id: 81, turns: ["four", "never asked"] },
];

test("every form of prompt, up to where the answer begins", async () => {
  const { prompts, stopIds } = await read(file(rows), chatty, { eosTokenIds: [7] });
  assert.deepEqual(
    prompts.map((prompt) => [prompt.text, text(chatty, prompt.ids)]),
    [
      ["one", asked("one")],
      ["two", asked("two")],
      ["three", `<|im_start|>user\nfirst<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n${asked("three")}`],
      ["four", asked("four")],
    ],
  );
  assert.match(prompts[3]?.where ?? "", /\.jsonl:4$/);
  assert.ok(stopIds.has(7) && stopIds.has(chatty.tokenId("<|im_end|>") ?? -1));
});

test("the prompt columns of training, with system message, tools and template variables", async () => {
  const templated = tokenizer("tools", {
    chatTemplate:
      "{{ messages | tojson }} {{ tools | tojson }} {{ mood }}{% if add_generation_prompt %}>{% endif %}",
  });
  const some = file([
    { system: "Be brief.", question: "one?", chosen: "x", rejected: "y" },
    { instruction: "two?", input: "three", output: "x" },
    {
      conversations: [
        { from: "human", value: "four?" },
        { from: "gpt", value: "left out" },
      ],
    },
    { input: { messages: [user("five?")], tools: [{ name: "f" }] }, chat_template_kwargs: { mood: "calm" } },
  ]);
  const overwritten = file([{ question: "one?", chat_template_kwargs: { add_generation_prompt: false } }]);
  await assert.rejects(
    read(overwritten, templated),
    /:1, column "chat_template_kwargs": .*got add_generation_prompt/,
  );
  const { prompts } = await read(some, templated);
  assert.deepEqual(
    prompts.map(({ ids }) => text(templated, ids)),
    [
      '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one?"}] null >',
      '[{"role": "user", "content": "two?\\nthree"}] null >',
      '[{"role": "user", "content": "four?"}] null >',
      '[{"role": "user", "content": "five?"}] [{"name": "f"}] calm>',
    ],
  );
});

test("plain text goes in as it stands when that is wished, and where there is no template", async () => {
  const path = file([{ prompt: "once upon" }]);
  const wished = await read(path, chatty, { isPlain: true });
  assert.equal(text(chatty, wished.prompts[0]?.ids ?? []), "once upon");
  assert.ok(wished.stopIds.has(chatty.tokenId("<|im_end|>") ?? -1));
  const { prompts } = await read(path, bare);
  assert.equal(text(bare, prompts[0]?.ids ?? []), "once upon");
});

test("no more prompts than asked for, and columns by other names", async () => {
  const path = file([{ q: "a" }, { q: "b" }, { q: 3 }]);
  const { prompts } = await read(path, chatty, { limit: 2, columns: { prompt: "q" } });
  assert.deepEqual(
    prompts.map((prompt) => prompt.text),
    ["a", "b"],
  );
});

test("a row without a prompt, and a file without rows, are refused by name", async () => {
  const refused = (path: string, message: RegExp) =>
    assert.rejects(read(path, chatty), (error: unknown) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, message);
      return true;
    });
  await refused(
    file([{ prompt: "a" }, { text: "b" }]),
    /:2: expected "prompt", .* or "turns", found the columns text/,
  );
  await refused(file([{ prompt: 5 }]), /:1, column "prompt"/);
  await refused(file([]), /no rows/);
});

test("tools and template variables of a row reach the template; what it leaves out is refused", async () => {
  const chatTemplate = `{{ mood }}{% for t in tools or [] %}{{ t.name }};{% endfor %}${chatMl}`;
  const row = { prompt: [user("two")], tools: [{ name: "add" }], chat_template_kwargs: { mood: "glad " } };
  const { prompts } = await read(file([row]), tokenizer("tools", { chatTemplate }));
  assert.equal(text(chatty, prompts[0]?.ids ?? []), `glad add;${asked("two")}`);
  await assert.rejects(read(file([row]), chatty), (error: unknown) => {
    assert.ok(error instanceof DataError);
    assert.match(error.message, /\.jsonl:1: .*"tools" \("add"\)/);
    return true;
  });
});

test("a prompt that ends in the assistant's turn goes on with it", async () => {
  const begun = [user("two"), { role: "assistant", content: "It is" }];
  const { prompts } = await read(file([{ prompt: begun }]), chatty);
  assert.equal(text(chatty, prompts[0]?.ids ?? []), `${asked("two")}It is`);
});

test("a template without a generation prompt is told of, and the header is in the prompt", async () => {
  const chatTemplate = chatMl.slice(0, chatMl.indexOf("{% if add_generation_prompt"));
  const told = once(process, "warning");
  const { prompts } = await read(file([{ prompt: "two" }]), tokenizer("silent", { chatTemplate }));
  assert.equal(text(chatty, prompts[0]?.ids ?? []), asked("two"));
  const [warning] = (await told) as [Error];
  assert.match(warning.message, /ignores add_generation_prompt/);
});

test("a second BOS that is left out of a prompt is told of", async () => {
  const told = once(process, "warning");
  const { prompts } = await read(
    file([{ prompt: "<s>a" }, { prompt: "a" }]),
    tokenizer("bos", { prependBos: true }),
  );
  assert.deepEqual(prompts[0]?.ids, prompts[1]?.ids);
  const [warning] = (await told) as [Error];
  assert.match(warning.message, /a second BOS at the beginning of the prompt is left out/);
});

test("rows with images, audio or functions beside their prompt are refused, as they are for training", async () => {
  const functions = [{ name: "look", parameters: {} }];
  for (const [column, value] of [
    ["image", "cat.png"],
    ["audio", { bytes: "AAAA" }],
    ["functions", functions],
  ] as const) {
    const path = file([{ prompt: "one" }, { prompt: "What is it?", [column]: value }]);
    await assert.rejects(read(path, chatty), {
      name: "DataError",
      message: new RegExp(`^${path}:2: expected no column "${column}"\\. `),
    });
  }
  assert.equal((await read(file([{ prompt: "one", images: [], image: null }]), chatty)).prompts.length, 1);
});

test("a column that a question may be about is a warning, once a file, unless it is the prompt", async () => {
  const warnings: string[] = [];
  const listen = ({ message }: Error): void => void warnings.push(message);
  process.on("warning", listen);
  const row = { question: "Which colour?", context: "The ball is blue.", answer: "Blue." };
  const path = file([row, { ...row, context: "It is green." }]);
  await read(path, chatty);
  const { prompts } = await read(file([row]), chatty, { columns: { prompt: "context" } });
  await setImmediate();
  process.off("warning", listen);
  assert.equal(prompts[0]?.text, "The ball is blue.");
  assert.deepEqual(
    warnings.filter((text) => text.includes("not read")),
    [`${path}: a column "context" is not read. If the questions are about it, put it into them.`],
  );
});
