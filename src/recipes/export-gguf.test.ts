/** From a run to a GGUF file and a Modelfile: what is written, what is measured, what is refused. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { armFault } from "../../test/support/faults.ts";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { fixtureWithHead, ggufOf } from "../../test/support/gguf-files.ts";
import { runFixture, runTraining } from "../../test/support/runs.ts";
import { makeChainModel, piece, vocabulary } from "../../test/support/sentencepiece.ts";
import { until } from "../../test/support/signalled.ts";
import { pairRows, writeRows } from "../../test/support/tiny-model.ts";
import { ConfigError, FileError, FormatError } from "../base/errors.ts";
import { io } from "../base/file-io.ts";
import { isRunning } from "../base/process-state.ts";
import { loadConfig } from "../config/load-config.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { storedConfig } from "../formats/tied-head.ts";
import { architectureOf } from "../gguf/architecture.ts";
import { readGguf, readNumbers } from "../gguf/read.ts";
import { exportGguf, usualContext } from "./export-gguf.ts";

const fixture = runFixture({ rows: 8, held: 4 });
after(() => fixture[Symbol.dispose]());
const { path } = fixture;
const system = "Answer in one word.";

/** Preference rows as chats with a system message. */
function chatRows(count: number): object[] {
  return pairRows(count).map((_, i) => ({
    prompt: [
      { role: "system", content: system },
      { role: "user", content: `How many is ${i}?` },
    ],
    chosen: [{ role: "assistant", content: `${i}` }],
    rejected: [{ role: "assistant", content: `It is ${i}, I think` }],
  }));
}

test("a run: its adapter merged, held-out pairs re-scored, its system message and context in the Modelfile", async () => {
  const trainData = writeRows(path("chats.jsonl"), chatRows(11).slice(0, 8));
  const outputDir = path("run");
  const values = {
    ...fixture.values,
    train_data: trainData,
    eval_data: writeRows(path("held-chats.jsonl"), chatRows(11).slice(8)),
  };
  await runTraining({
    ...values,
    output_dir: outputDir,
    use_peft: true,
    learning_rate: 1e-2,
    max_steps: 2,
    max_length: 200,
  });
  writeFileSync(path("base", "LICENSE"), "Do what you like.");
  const result = await exportGguf({
    source: outputDir,
    type: "f32",
    output: path("run.gguf"),
    device: "cpu",
  });
  assert.equal(result.pairs?.before.pairs, 3);
  assert.ok(result.maxDifference <= 1e-4);
  assert.deepEqual(result.notes, []);
  const { tensors } = readGguf(path("run.gguf"));
  assert.ok(tensors.has("blk.0.attn_q.weight"));
  assert.equal(
    readFileSync(path("run.Modelfile"), "utf8"),
    `FROM ./run.gguf\nPARAMETER stop "<|im_end|>"\nPARAMETER num_ctx 200\nSYSTEM """${system}"""\n` +
      `LICENSE """Do what you like."""\n`,
  );
  const merged = await exportGguf({
    source: path("base"),
    adapter: path("run", "adapter"),
    type: "f32",
    output: path("merged.gguf"),
    device: "cpu",
  });
  assert.equal(merged.pairs, null);
  assert.deepEqual(
    readFileSync(path("run.gguf")).subarray(-4096),
    readFileSync(path("merged.gguf")).subarray(-4096),
  );
  await assert.rejects(
    exportGguf({ source: outputDir, adapter: path("run", "adapter"), type: "f32", output: path("x.gguf") }),
    /is a run.*expected no --adapter/,
  );
});

test("num_ctx has room for a run's prompts and answers, as far as the model has", () => {
  const model = { ...storedConfig(fixturePath("llama_tied", "model")), maxPositions: 6000 };
  const contextOf = (values: Record<string, unknown>) => {
    const { config } = loadConfig({ values: { ...fixture.values, output_dir: "o", ...values } });
    return usualContext(config, model);
  };
  assert.equal(contextOf({ max_length: 200 }), 200);
  assert.equal(contextOf({ max_length: 8000 }), 6000);
  const grpo = { objective: "grpo", reward_funcs: ["exact"], num_generations: 2, max_length: 1024 };
  assert.equal(contextOf({ ...grpo, max_completion_length: 4096 }), 5120);
  assert.equal(contextOf({ ...grpo, max_completion_length: 8192 }), 6000);
  assert.equal(usualContext(null, { ...model, maxPositions: 32_768 }), 8192);
});

test("options that would do nothing are refused, and more context than the model has", async () => {
  const given = {
    source: fixturePath("llama_tied", "model"),
    output: path("idle.gguf"),
    device: "cpu",
  } as const;
  const wrong = [
    [{ quantizer: "llama-quantize" }, /makes q4_k_m alone, and the type is q8_0/],
    [{ tolerance: 0.1 }, /what q8_0 costs is measured and not judged/],
    [{ lora: true, contextLength: 8 }, /are of the Modelfile, and beside an adapter there is none/],
    [{ lora: true, system: "Be brief." }, /are of the Modelfile/],
    [{ contextLength: 1_000_000 }, /--num-ctx: expected at most \d+, the model's context, got 1000000/],
  ] as const;
  for (const [options, message] of wrong)
    await assert.rejects(exportGguf({ ...given, ...options }), { name: "ConfigError", message });
  assert.equal(existsSync(given.output), false);
});

test("files that are there are kept, and nothing is left of an export that fails", async () => {
  const source = fixturePath("llama_tied", "model");
  const output = path("kept.gguf");
  writeFileSync(output, "mine");
  await assert.rejects(exportGguf({ source, type: "f32", output }), /kept\.gguf.*--replace/);
  assert.equal(readFileSync(output, "utf8"), "mine");
  const before = readdirSync(fixture.dir);
  const stopped = (): never => {
    throw new Error("stopped");
  };
  const other = path("other.gguf");
  let writes = 0;
  await assert.rejects(
    exportGguf({ source, type: "q8_0", output: other, onWrite: () => void (++writes === 2 && stopped()) }),
    /stopped/,
  );
  assert.deepEqual(readdirSync(fixture.dir), before);
  {
    using _ = armFault({ code: "EIO", at: 1, names: ["renameSync"] });
    await assert.rejects(
      exportGguf({ source, type: "f32", output, replace: true, device: "cpu" }),
      (error) => error instanceof FileError && /Cannot write .*kept\.gguf/.test(error.message),
    );
    assert.equal(readFileSync(output, "utf8"), "mine");
  }
  await exportGguf({ source, type: "f32", output, replace: true, device: "cpu" });
  assert.ok(existsSync(path("kept.Modelfile")));
});

test("a run over a base held in 4 bits is merged into what the base was then", async () => {
  const outputDir = path("few-bits");
  const values = {
    ...fixture.values,
    output_dir: outputDir,
    use_peft: true,
    load_in_4bit: true,
    max_steps: 1,
  };
  await runTraining(values);
  const output = path("few-bits.gguf");
  const result = await exportGguf({ source: outputDir, type: "f32", output, device: "cpu" });
  assert.ok(result.maxDifference <= 1e-4);
  const base = path("stored.gguf");
  await exportGguf({ source: path("base"), type: "f32", output: base, device: "cpu" });
  const numbers = (file: string): Float32Array => {
    const read = readGguf(file);
    const tensor = read.tensors.get("blk.0.attn_v.weight");
    assert.ok(tensor !== undefined);
    return readNumbers(read, tensor);
  };
  const [merged, stored] = [numbers(output), numbers(base)];
  const moved = Math.max(...merged.map((x, i) => Math.abs(x - (stored[i] ?? 0))));
  assert.ok(moved > 1e-3, `rounding to 4 bits moves weights by more than ${moved}`);
});

test("an adapter alone: from a run, and refused where llama.cpp has no such adapter", async () => {
  const model = fixturePath("qwen3", "model");
  const output = path("adapter.gguf");
  const given = { source: model, output, lora: true, device: "cpu" };
  await assert.rejects(exportGguf(given), /expected an adapter to write.*--adapter/);
  const adapter = fixturePath("qwen3", "lora");
  await assert.rejects(exportGguf({ ...given, adapter }), /lm_head\.weight trained as a whole.*Merge it/);
  await assert.rejects(exportGguf({ ...given, adapter, type: "q8_0" }), /written in f32, got --type q8_0/);
  const result = await exportGguf({ ...given, source: path("run") });
  assert.equal(result.modelfile, null);
  assert.ok(result.maxDifference <= 1e-4);
  const { keys, tensors } = readGguf(output);
  assert.equal(keys.get("adapter.type")?.value, "lora");
  assert.ok(tensors.has("blk.0.attn_q.weight.lora_b") && !tensors.has("token_embd.weight"));
  assert.ok(!existsSync(path("adapter.Modelfile")));
});

test("a tokenizer that llama.cpp does not have is refused before anything is written", async () => {
  cpSync(fixturePath("llama_tied", "model"), path("odd"), { recursive: true });
  const file = path("odd", "tokenizer.json");
  const json = JSON.parse(readFileSync(file, "utf8")) as object;
  writeFileSync(file, JSON.stringify({ ...json, normalizer: { type: "Lowercase" } }));
  const output = path("odd.gguf");
  await assert.rejects(exportGguf({ source: path("odd"), type: "f32", output }), /Lowercase.*almost right/s);
  assert.ok(!existsSync(output) && !existsSync(path("odd.Modelfile")));
});

// as Phi-3's tokenizer has it; llama.cpp (llama-vocab.cpp) strips spaces there by the model's name, and no key of a file says so
test("added tokens that strip the spaces beside them are refused as what a file cannot say", async () => {
  for (const flag of ["rstrip", "lstrip", "single_word"]) {
    const dir = path(flag);
    cpSync(fixturePath("llama_tied", "model"), dir, { recursive: true });
    const file = `${dir}/tokenizer.json`;
    const json = JSON.parse(readFileSync(file, "utf8"));
    json.added_tokens[0][flag] = true;
    writeFileSync(file, JSON.stringify(json));
    await assert.rejects(exportGguf({ source: dir, type: "f32", output: path(`${flag}.gguf`) }), (error) => {
      assert.ok(error instanceof FormatError);
      assert.match(
        error.message,
        new RegExp(`expected added tokens without ${flag}, which a GGUF file has no key for, got "`),
      );
      assert.match(error.message, /Phi-3 .*No GGUF file is written: .*convert_hf_to_gguf\.py\.$/);
      return true;
    });
    assert.ok(!existsSync(path(`${flag}.gguf`)));
  }
});

test("what llama.cpp cuts otherwise by where the tokenizer writes a space is said", async () => {
  const notesOf = async (name: string, change: (json: Record<string, unknown>) => void) => {
    const source = makeChainModel(path(name), [piece("a"), piece("b")]);
    const file = `${source}/tokenizer.json`;
    const json = JSON.parse(readFileSync(file, "utf8"));
    json.model.merges.push(["▁", "the"], ["▁", "A"]);
    change(json);
    writeFileSync(file, JSON.stringify(json));
    return (await exportGguf({ source, type: "f32", output: path(`${name}.gguf`), device: "cpu" })).notes;
  };
  assert.deepEqual(await notesOf("prepended", () => {}), []);
  const added = await notesOf("added", (json) => {
    const [first] = json["added_tokens"] as object[];
    const token = { ...first, id: vocabulary - 1, content: "zz", special: false, normalized: true };
    json["added_tokens"] = [...(json["added_tokens"] as object[]), token];
  });
  assert.match(added.join(), /finds an added token \("zz"\) only together with a space in front/);
  const metaspace = (prepend_scheme: string) => (json: Record<string, unknown>) => {
    json["normalizer"] = null;
    json["pre_tokenizer"] = { type: "Metaspace", replacement: "▁", prepend_scheme, split: false };
  };
  assert.match((await notesOf("everywhere", metaspace("always"))).join(), /unless there is one/);
  assert.match((await notesOf("first", metaspace("first"))).join(), /not behind a special token/);
});

test("once both files are complete, no signal comes between them", async () => {
  const output = path("both.gguf");
  const { writeSync } = io;
  let calls = 0;
  const onWrite = () => {
    calls += 1;
    if (calls < 2) return;
    io.writeSync = () => {
      throw new ConfigError("stopped");
    };
  };
  try {
    await exportGguf({ source: path("base"), type: "q8_0", output, onWrite, device: "cpu" });
  } finally {
    io.writeSync = writeSync;
  }
  assert.deepEqual([existsSync(output), existsSync(path("both.Modelfile"))], [true, true]);
});

/** A program in the place of llama-quantize: the lines of a shell script. */
function quantizerOf(name: string, ...lines: string[]): string {
  writeFileSync(path(name), ["#!/bin/sh", ...lines].join("\n"), { mode: 0o755 });
  return path(name);
}

test("llama-quantize: killed by the signal, waited for, nothing left; how else it ended is said", async () => {
  mkdirSync(path("quantised"));
  const output = path("quantised", "model.gguf");
  const make = (quantizer: string, signal: AbortSignal | null = null) =>
    exportGguf({ source: path("base"), type: "q4_k_m", quantizer, output, signal, device: "cpu" });
  const slow = quantizerOf("slow", 'echo $$ > "$0.pid"', 'echo begun > "$2"', "exec sleep 1000");
  const stopping = new AbortController();
  const cut = assert.rejects(make(slow, stopping.signal), /stopped by hand/);
  await until(() => existsSync(`${slow}.pid`) && readFileSync(`${slow}.pid`, "utf8").endsWith("\n"), "it");
  stopping.abort(new Error("stopped by hand"));
  await cut;
  assert.equal(isRunning(Number(readFileSync(`${slow}.pid`, "utf8"))), false);
  assert.deepEqual(readdirSync(path("quantised")), []);

  const dead = spawnSync(process.execPath, ["-e", ""]).pid;
  const stay = [`.model.gguf.tmp-${process.pid}-00000000`, `.other.gguf.tmp-${dead}-00000000`];
  for (const name of [...stay, `.model.gguf.tmp-${dead}-00000000`, `.model.gguf.tmp-${dead}-11111111`])
    writeFileSync(path("quantised", name), "");
  await assert.rejects(make(quantizerOf("killed", "kill -9 $$")), /ended by SIGKILL .* It wrote nothing\./);
  assert.deepEqual(
    readdirSync(path("quantised")).sort(),
    stay.sort(),
    "of those that are no more, and its own",
  );
  await assert.rejects(make(quantizerOf("failing", "echo no room >&2", "exit 3")), /status 3 .*:\nno room$/);
});

test("heads that llama.cpp does not have are written or refused, and a name does not stand for a tokenizer", async () => {
  const tied = fixtureWithHead("olmo2", path("phi3-like"), true);
  const file = readGguf(await ggufOf(tied, path(""), "olmo2-tied"));
  const [head, embedding] = ["output.weight", "token_embd.weight"].map((name) => file.tensors.get(name));
  assert.ok(head !== undefined && embedding !== undefined);
  assert.deepEqual(readNumbers(file, head), readNumbers(file, embedding));
  assert.equal(file.keys.get("general.name")?.value, "phi 3-like");
  const apart = fixtureWithHead("gemma2", path("gemma2-apart"), false);
  await assert.rejects(
    ggufOf(apart, path(""), "gemma2-apart"),
    /gemma2 model has a head beside its embedding.*no GGUF file is written/,
  );
  assert.ok(!existsSync(path("gemma2-apart.gguf")));
  for (const family of ["qwen2_untied", "olmo2", "phi3"] as const) {
    const config = readModelConfig(fixturePath(family, "model"));
    assert.equal(architectureOf(config).name, config.family);
    assert.throws(
      () => architectureOf({ ...config, headDim: 2 * config.headDim }),
      /model has \d heads of \d+, which are not its width of \d+ together; llama\.cpp cannot compute that/,
    );
  }
});
