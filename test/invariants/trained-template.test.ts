/** The chat template that a run is given with `chat_template`: what it exports has it, and commands say where they ask with another. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { evaluateDiversity } from "../../src/evaluate/diversity/evaluate-diversity.ts";
import { ggufOrigin } from "../../src/recipes/gguf-source.ts";
import { merge } from "../../src/recipes/merge.ts";
import { openGeneration } from "../../src/recipes/open-generation.ts";
import { score } from "../../src/recipes/score.ts";
import { modelCard } from "../../src/report/model-card.ts";
import { openRun } from "../../src/runs/run-directory.ts";
import { chatTemplateSource } from "../../src/text/template-source.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { runFixture, runTraining, type Values } from "../support/runs.ts";
import { chatRows, writeRows } from "../support/tiny-model.ts";
import { listenToWarnings } from "../support/warnings.ts";

const fixture = runFixture({ rows: 1, held: 0 });
after(() => fixture[Symbol.dispose]());
const model = String(fixture.values["model_name_or_path"]);
const machine = { device: "cpu", threads: 1, dtype: "float32" } as const;
const data = writeRows(fixture.path("chat.jsonl"), chatRows(6));
const template =
  "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] + eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}";
const chatTemplate = fixture.path("other.jinja");
writeFileSync(chatTemplate, template);
const recipe: Values = {
  ...{
    ...fixture.values,
    objective: "sft",
    train_data: data,
    chat_template: chatTemplate,
    max_steps: 2,
    save_steps: 1,
  },
};

const templateOf = (dir: string): string | null => loadTokenizer(dir).chatTemplates.default;

const adapted = fixture.path("adapted");
const adapter = join(adapted, "adapter");
before(async () => {
  await runTraining({ ...recipe, use_peft: true, lora_r: 2, output_dir: adapted });
});

test("a model that is exported, an adapter and its checkpoints have it", async () => {
  const outputDir = fixture.path("whole");
  await runTraining({ ...recipe, max_steps: 1, output_dir: outputDir });
  assert.notEqual(templateOf(model), template);
  assert.equal(templateOf(join(outputDir, "model")), template);
  assert.equal(templateOf(adapter), template);
  assert.equal(templateOf(join(adapted, "checkpoints", "checkpoint-1")), template);
  const settings = readFileSync(join(outputDir, "model", "tokenizer_config.json"), "utf8");
  // programs that read the settings alone find no other one there
  assert.ok(!("chat_template" in JSON.parse(settings)));
});

test("without the key an export keeps the tokenizer's files as they are", async () => {
  const outputDir = fixture.path("own");
  await runTraining({ ...recipe, chat_template: null, max_steps: 1, output_dir: outputDir });
  const read = (dir: string) => readFileSync(join(dir, "tokenizer_config.json"), "utf8");
  assert.equal(read(join(outputDir, "model")), read(model));
  assert.ok(!existsSync(join(outputDir, "model", "chat_template.jinja")));
});

test("a merged model has the adapter's, and it is said", async (t) => {
  const warnings = listenToWarnings(t);
  const output = fixture.path("merged");
  await merge({ device: "cpu", threads: 1, model, adapter, output });
  assert.equal(templateOf(output), template);
  const [note = ""] = await warnings(adapter);
  assert.match(note, /the merged model gets its chat template/);
});

test("a GGUF file has it, though its file was changed since", async () => {
  const dir = fixture.path("changed");
  const own = fixture.path("changed.jinja");
  writeFileSync(own, template);
  await runTraining({ ...recipe, chat_template: own, max_steps: 1, output_dir: dir });
  const none = { adapter: null, quantise: null };
  for (const change of [() => writeFileSync(own, "{{ messages }}"), () => rmSync(own)]) {
    change();
    const { chatTemplate, run } = await ggufOrigin(dir, none, () => {});
    assert.deepEqual([chatTemplate, run?.chat_template], [template, template]);
  }
  assert.equal((await ggufOrigin(adapted, none, () => {})).chatTemplate, template);
  // beside its base the adapter brings its own
  assert.equal((await ggufOrigin(model, { ...none, adapter }, () => {})).chatTemplate, template);
});

type Ask = (
  adapter: string,
  chatTemplate: string | null,
  enableThinking?: boolean | null,
) => Promise<unknown>;

const commands: Record<string, Ask> = {
  score: (place, chatTemplate, enableThinking = null) =>
    score({
      ...{ ...machine, model, adapter: place, data },
      selection: { chat_template: chatTemplate, enable_thinking: enableThinking, task: "sft" },
    }),
  generate: async (place, chatTemplate, enableThinking = null) => {
    const asked = { chatTemplate, enableThinking };
    await using _ = await openGeneration({ ...machine, model, adapters: [place], ...asked });
  },
  "evaluate diversity": (place, chatTemplate, enableThinking = null) =>
    evaluateDiversity(
      {
        ...{ ...machine, model, adapter: place, prompts: data, limit: 1, chatTemplate, enableThinking },
        ...{ samples: 2, temperature: 1, maxNewTokens: 4, seed: 1 },
      },
      "words",
    ),
};

const places: Record<string, string> = {
  score: adapter,
  generate: join(adapted, "checkpoints", "checkpoint-1"),
  "evaluate diversity": join(adapted, "checkpoints", "checkpoint-2"),
};

for (const [name, run] of Object.entries(commands)) {
  test(`${name} says that it asks with the model's, and how to ask with the adapter's`, async (t: TestContext) => {
    const warnings = listenToWarnings(t);
    const place = places[name] ?? "";
    await run(place, place);
    assert.deepEqual(await warnings(place), []);
    await run(place, null);
    const [note = ""] = await warnings(place);
    assert.ok(note.includes(`another chat template than that of ${model}, which is used`), note);
    assert.ok(note.endsWith(`--chat-template ${place}`), note);
  });
}

/** A template with a thinking mode, as Qwen3's: without it an answer begins with an empty thought. */
const thinking = template.replace(
  "[assistant] {% endif %}",
  "[assistant] {% if enable_thinking is defined and not enable_thinking %}[no thought] {% endif %}{% endif %}",
);

test("enable_thinking of a run is said, and taken by the commands that ask", async (t) => {
  const own = fixture.path("thinking.jinja");
  writeFileSync(own, thinking);
  const dir = fixture.path("unthinking");
  const values = { ...recipe, chat_template: own, enable_thinking: false };
  await runTraining({ ...values, use_peft: true, lora_r: 2, output_dir: dir });
  const place = join(dir, "adapter");
  const warnings = listenToWarnings(t);
  const open = (enableThinking: boolean | null) =>
    openGeneration({ ...machine, model, adapters: [place], chatTemplate: place, enableThinking });
  const promptOf = async (enableThinking: boolean | null) => {
    await using generation = await open(enableThinking);
    return generation.tokenizer.decode(await generation.encode([{ role: "user", content: "hi" }]), {
      skipSpecialTokens: false,
    });
  };
  const plain = await promptOf(null);
  const [note = ""] = await warnings(place);
  assert.ok(note.endsWith("and is asked as its template has it without. Give --enable-thinking false"), note);
  assert.equal(await promptOf(false), `${plain}[no thought] `);
  assert.equal(await promptOf(true), plain);
  assert.match((await warnings(place)).at(-1) ?? "", /asked with true\. Give --enable-thinking false$/);

  for (const [step, name] of ["score", "evaluate diversity"].entries()) {
    const checkpoint = join(dir, "checkpoints", `checkpoint-${step + 1}`);
    await commands[name]?.(checkpoint, checkpoint, false);
    assert.deepEqual(await warnings(checkpoint), []);
    await commands[name]?.(checkpoint, checkpoint);
    assert.match((await warnings(checkpoint)).join(), /Give --enable-thinking false$/);
  }

  const card = modelCard(openRun(dir), {
    ...{ kind: "adapter", base: null, baseCommit: null, license: null, version: "0.1.0" },
  });
  assert.ok(card.includes("`apply_chat_template(..., enable_thinking=False)`"), card);

  // whole models say as little
  const whole = fixture.path("unthinking-whole");
  await runTraining({ ...values, output_dir: whole });
  await using _ = await openGeneration({ ...machine, model: join(whole, "model"), adapters: [] });
  assert.match((await warnings(whole)).at(-1) ?? "", /^.*model: it was trained with enable_thinking false/);
});

test("enable_thinking that no template reads is said to do nothing", async (t) => {
  const warnings = listenToWarnings(t);
  await using generation = await openGeneration({
    ...{ ...machine, model, adapters: [], enableThinking: true },
  });
  await generation.encode([{ role: "user", content: "hi" }]);
  const [note = ""] = await warnings("enable_thinking true");
  assert.match(note, /^enable_thinking true: the chat template \(.+\) does not read it/);
});

test("a directory stands for its template, wherever it has it", () => {
  const tokenizer = loadTokenizer(model);
  const older = fixture.path("older-adapter");
  mkdirSync(older);
  assert.throws(
    () => chatTemplateSource(tokenizer, older, false),
    /a directory with a chat template, but .* has neither/,
  );
  // before chat_template.jinja tokenizers were saved with it in their settings
  writeFileSync(join(older, "tokenizer_config.json"), JSON.stringify({ chat_template: template }));
  assert.equal(chatTemplateSource(tokenizer, older, false), template);
  assert.equal(chatTemplateSource(tokenizer, adapter, false), template);
});
