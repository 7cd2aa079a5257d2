/** arena.yaml: which models it names and which share a base, and every mistake in it with its line; what answering costs a training. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { withDashboardApp } from "../../test/support/dashboards.ts";
import { scratch } from "../../test/support/scratch.ts";
import { ConfigError } from "../base/errors.ts";
import { loadConfig } from "../config/load-config.ts";
import { createRun } from "../runs/run-directory.ts";
import { type HeldModel, readContestants } from "./contestants.ts";

const root = realpathSync(mkdtempSync(join(scratch(), "preftune-contestants-")));
after(() => rmSync(root, { recursive: true, force: true }));
const base = join(root, "base");
const tuned = join(root, "tuned");
for (const model of [base, tuned]) {
  mkdirSync(model);
  writeFileSync(join(model, "config.json"), "{}");
}

function read(text: string): ReturnType<typeof readContestants> {
  writeFileSync(join(root, "arena.yaml"), text);
  return readContestants(root);
}

/** Contestants of which the first is fine and the second as given. */
const second = (text: string): string =>
  `contestants:\n  - { name: a, model_name_or_path: ${base} }\n  - ${text}\n`;

const wrong: [string, RegExp][] = [
  ["{ name: b, adaptor: x }", /^arena\.yaml:3: unknown key "adaptor"\. Did you mean "adapter"\?$/],
  ["{ name: b, adapter: 3 }", /^arena\.yaml:3: adapter: expected a text, got the number 3\.$/],
  ["{ name: b }", /^arena\.yaml:3: expected url and model of an endpoint, or model_name_or_path or adapter/],
  ["{ name: b, url: http://x/v1 }", /^arena\.yaml:3: expected url and model/],
  ["{ name: b, url: ftp://x, model: m }", /^arena\.yaml:3: url: expected an address like http:/],
  [
    "{ name: b, url: http://x/v1, model: m, adapter: x }",
    /url, model of an endpoint and adapter of a model here do not go/,
  ],
  ["{ name: a, url: http://x/v1, model: m }", /another contestant is called "a"/],
  ["{ model: m, url: http://x/v1 }", /^arena\.yaml:3: name is missing/],
  [
    `{ name: b, model_name_or_path: ${base}, adapter_scale: 0.5 }`,
    /adapter_scale has no effect without adapter/,
  ],
  ["{ name: b, adapter: x@scale=0.5, adapter_scale: 0.4 }", /x@scale=0\.5: a scale is given twice/],
  [
    "{ name: b, adapter: x, adapter_scale: 3 }",
    /adapter_scale: expected a number from 0 to 2, got the number 3/,
  ],
  [
    `{ name: b, model_name_or_path: ${root}/tunde }`,
    /^arena\.yaml:3: .*tunde: expected a model directory.*Did you mean ".*tuned"\?/,
  ],
  [`{ name: b, adapter: ${root}/nothing }`, /^arena\.yaml:3: .*nothing: expected a PEFT adapter directory/],
  [
    `{ name: b, adapter: "${tuned}@scale=0.5" }`,
    /does not say which model it is of\. Give its base model as model_name_or_path/,
  ],
  ["{ name: b, adapter: owner/name }", /owner\/name: what this is an adapter of .*model_name_or_path/],
  ["word", /^arena\.yaml:3: expected a contestant like .*, got the text "word"/],
];

for (const [text, message] of wrong) {
  test(`refused with its line: ${text.replaceAll(root, "…")}`, () => {
    assert.throws(
      () => read(second(text)),
      (error: unknown) =>
        (error instanceof ConfigError && message.test(error.message)) || assert.fail(String(error)),
    );
  });
}

test("keys of the file: an unknown one and a wrong one are named, both at once", () => {
  assert.throws(() => read(`thread: 1\ndevice: 3\n${second("{ name: b, url: http://x/v1, model: m }")}`), {
    message:
      /^arena\.yaml:1: unknown key "thread"\. Did you mean "threads"\?\narena\.yaml:2: device: expected cpu, /,
  });
});

test("models of one base share it; a part of a tuned model is put on a base, all of it is a base", () => {
  const found = read(
    second(
      [
        `{ name: b, model_name_or_path: ${base}, adapter: ${tuned}, adapter_scale: 0.5 }`,
        `{ name: c, model_name_or_path: ${base}, adapter: "${tuned}@scale=0.5", temperature: 0 }`,
        `{ name: d, adapter: ${tuned} }`,
        "{ name: e, model_name_or_path: owner/name }",
        "{ name: f, url: http://x/v1, model: m, max_tokens: 7, extra: { top_p: null } }",
      ].join("\n  - "),
    ),
  );
  const held = found.slice(0, 5).map(({ source }) => source as HeldModel);
  const [a, b, c, d, e] = held;
  assert.equal(a?.served, b?.served);
  assert.equal(b?.served, c?.served);
  assert.deepEqual(
    held.map(({ model }) => model),
    ["base", "variant-1", "variant-1", "base", "base"],
  );
  assert.deepEqual(a?.served.adapters, { "variant-1": `${tuned}@scale=0.5` });
  assert.deepEqual([a?.served.model, d?.served.model, e?.served.model], [base, tuned, "owner/name"]);
  assert.deepEqual(found[5], {
    ...{ name: "f", max_tokens: 7, temperature: 0.7 },
    source: { url: "http://x/v1", model: "m", key_env: null, extra: { top_p: null } },
  });
  assert.equal(found[2]?.temperature, 0);
});

test("a run stands for what it exported, its checkpoint may be named below it, its base is what it began with", () => {
  const values = { model_name_or_path: base, train_data: "a.jsonl", output_dir: join(root, "run") };
  createRun(loadConfig({ values })).release();
  const run = join(root, "run");
  const wait = /run: expected a run with what it exported.*no checkpoint yet either/;
  assert.throws(() => read(second(`{ name: b, adapter: ${run} }`)), { message: wait });
  const checkpoint = join(run, "checkpoints", "checkpoint-4");
  for (const place of [checkpoint, join(run, "model")]) {
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "config.json"), "{}");
  }
  const served = (text: string) => {
    const source = read(second(text))[1]?.source as HeldModel;
    return [source.served.model, ...Object.values(source.served.adapters)];
  };
  assert.deepEqual(served(`{ name: b, adapter: ${run} }`), [join(run, "model")]);
  assert.deepEqual(served(`{ name: b, model_name_or_path: ${run} }`), [join(run, "model")]);
  assert.deepEqual(served(`{ name: b, adapter: "${run}@scale=0.5" }`), [
    base,
    `${join(run, "model")}@scale=0.5`,
  ]);
  assert.deepEqual(served(`{ name: b, adapter: ${run}/checkpoint-4 }`), [checkpoint]);
  assert.deepEqual(served(`{ name: b, adapter: "${run}/checkpoint-4@scale=0.5" }`), [
    base,
    `${checkpoint}@scale=0.5`,
  ]);
  // a run that chose its scale: another one is of the whole, as in export gguf and in preftune scale
  const whole = join(run, "whole", "model");
  mkdirSync(whole, { recursive: true });
  writeFileSync(join(whole, "config.json"), "{}");
  assert.deepEqual(served(`{ name: b, adapter: ${run} }`), [join(run, "model")]);
  assert.deepEqual(served(`{ name: b, adapter: "${run}@scale=0.5" }`), [base, `${whole}@scale=0.5`]);
  assert.deepEqual(served(`{ name: b, adapter: ${run}, adapter_scale: 0.5 }`), [base, `${whole}@scale=0.5`]);
  assert.deepEqual(served(`{ name: b, adapter: "${run}@scale=1" }`), [whole]);
});

test("while something trains the screen says what answering costs, where models are here", async () => {
  await withDashboardApp(async (app) => {
    const { bench } = app.context;
    mkdirSync(bench.dir, { recursive: true });
    const write = (text: string): void => writeFileSync(join(bench.dir, "arena.yaml"), text);
    const cost = async (): Promise<string> =>
      ((await (await app.ask("/api/arena", { as: "owner" })).json()) as { cost: string }).cost;
    write(`threads: 1\ndevice: cpu\n${second("{ name: b, url: http://x/v1, model: m }")}`);
    assert.equal(await cost(), "");
    const values = { model_name_or_path: base, train_data: "a.jsonl", output_dir: join(app.root, "busy") };
    const run = createRun(loadConfig({ values }));
    app.context.runs.expectChange();
    run.log("start", { step: 0, total_steps: 9 });
    assert.match(
      await cost(),
      /^Training now: busy\. Contestants here answer with 1 of \d+ threads beside it: .* twice as long/,
    );
    write(
      "contestants:\n  - { name: a, url: http://x/v1, model: a }\n  - { name: b, url: http://x/v1, model: m }",
    );
    assert.equal(await cost(), "");
    run.release();
  });
});
