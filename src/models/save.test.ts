/** Adapters and merged models written here and read again: the same model, whatever was trained. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import {
  adaptPatterned,
  logitsOf,
  temporaryDirectory,
  tinyAdapterConfig,
  tinyModel,
  tinyNames,
} from "../../test/support/tiny-models.ts";
import { ConfigError, FormatError } from "../base/errors.ts";
import { io } from "../base/file-io.ts";
import { readAdapter } from "../formats/adapter.ts";
import type { AdapterConfig } from "../formats/adapter-config.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { hostBytes, noGrad, ops, scope } from "../torch/index.ts";
import { adapterParameters, modelParameters } from "../train/parameters.ts";
import { loadModel } from "./load.ts";
import { installAdapter } from "./load-adapter.ts";
import { writeAdapter, writeMergedModel } from "./save.ts";

const ids = [1, 9, 30, 4, 4, 17, 22];

const kinds: Record<string, Partial<AdapterConfig>> = {
  LoRA: {},
  rsLoRA: { useRslora: true, targetModules: ["k_proj", "o_proj", "gate_proj", "up_proj"] },
  DoRA: { useDora: true, dropout: 0.1 },
  "LoRA and the head": { modulesToSave: ["lm_head"] },
  "DoRA, head and embedding": { useDora: true, modulesToSave: ["lm_head", "embed_tokens"] },
  "LoRA and the embedding": { modulesToSave: ["embed_tokens"] },
  "ranks by pattern": { rankPattern: { q_proj: 2 }, alphaPattern: { "layers.1.mlp.down_proj": 3 } },
};

for (const name of tinyNames) {
  for (const [kind, changes] of Object.entries(kinds)) {
    test(`${name}, ${kind}: adapter and merged model give the logits back`, () => {
      withoutLeaks(() => {
        using adapterDir = temporaryDirectory();
        using mergedDir = temporaryDirectory();
        const model = tinyModel(name);
        const adapter = adaptPatterned(model, tinyAdapterConfig(changes));
        const want = logitsOf(model, ids);
        assert.notDeepEqual(want, logitsOf(tinyModel(name), ids));

        writeAdapter(adapterDir.path, adapter.config, adapterParameters(model).tensors);
        const adapted = tinyModel(name);
        const installed = installAdapter(adapted, readAdapter(adapterDir.path));
        assert.deepEqual(installed.targets, adapter.targets);
        assert.deepEqual(installed.saved, adapter.saved);
        assert.deepEqual(logitsOf(adapted, ids), want);

        writeMergedModel(mergedDir.path, model, "float32");
        const merged = loadModel(mergedDir.path);
        assertClose(logitsOf(merged, ids), want, { atol: 1e-5 });
        const trainsAHead = changes.modulesToSave !== undefined;
        assert.equal(merged.config.tieWordEmbeddings, model.config.tieWordEmbeddings && !trainsAHead);
      });
    });
  }

  test(`${name}: a model without adapter is written as it is, its configuration too`, () => {
    withoutLeaks(() => {
      using dir = temporaryDirectory();
      const model = tinyModel(name);
      for (const { tensor: parameter } of modelParameters(model)) {
        noGrad(() => ops.add_(parameter, parameter, { alpha: 0.125 }));
        parameter.requiresGrad = true;
      }
      writeMergedModel(dir.path, model, "float32");
      assert.deepEqual(logitsOf(loadModel(dir.path), ids), logitsOf(model, ids));
      const { raw: _, ...got } = readModelConfig(dir.path);
      const { raw: __, ...want } = model.config;
      assert.deepEqual(got, want);
    });
  });
}

test("merging happens in float32 and is rounded once", () => {
  withoutLeaks(() => {
    using whole = temporaryDirectory();
    using half = temporaryDirectory();
    const model = tinyModel("llama_tied");
    adaptPatterned(model, tinyAdapterConfig());
    writeMergedModel(whole.path, model, "float32");
    writeMergedModel(half.path, model, "bfloat16");
    const exact = new Map(modelParameters(loadModel(whole.path)).map((p) => [p.name, p.tensor]));
    const loaded = loadModel(half.path);
    assert.equal(loaded.config.dtype, "bfloat16");
    for (const { name, tensor: rounded } of modelParameters(loaded)) {
      assert.equal(rounded.dtype, "bfloat16");
      const source = exact.get(name);
      assert.ok(source !== undefined);
      const once = ops.to(ops.to(source, "bfloat16"), "float32").toNumbers();
      assert.deepEqual(ops.to(rounded, "float32").toNumbers(), once);
    }
  });
});

test("an adapter for another model is refused, and nothing of it is read", () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    const model = tinyModel("llama_tied");
    const adapter = adaptPatterned(model, tinyAdapterConfig());
    writeAdapter(dir.path, adapter.config, adapterParameters(model).tensors);
    const wider = tinyModel("llama_tied", { intermediate_size: 40 });
    assert.throws(
      () => installAdapter(wider, readAdapter(dir.path)),
      (error: unknown) => {
        assert.ok(error instanceof FormatError);
        assert.match(
          error.message,
          /down_proj\.lora_A\.weight" has shape \[4,24\], this adapter asks for \[4,40\]/,
        );
        return true;
      },
    );
    const shallow = tinyModel("llama_tied", { num_hidden_layers: 1 });
    assert.throws(
      () => installAdapter(shallow, readAdapter(dir.path)),
      /layers\.1\..*which this model does not have; its linears are q_proj, .*the model that it was trained on/,
    );
  });
});

test("an adapter for separate projections is refused for a model that has them in one, with what to do", () => {
  withoutLeaks(() => {
    const config = { model_type: "phi3", attention_bias: false, mlp_bias: false };
    const separate = tinyModel("llama_untied");
    const fused = tinyModel("llama_untied", config);
    for (const [targetModules, said] of [
      [
        ["q_proj", "v_proj", "o_proj"],
        /layers\.0\.self_attn\.q_proj".*qkv_proj in place of q_proj, k_proj, v_proj.*lora_target_modules: \[qkv_proj\]/,
      ],
      [["o_proj", "up_proj"], /mlp\.up_proj".*gate_up_proj in place of gate_proj, up_proj/],
    ] as const) {
      const settings = tinyAdapterConfig({ targetModules: [...targetModules] });
      using dir = temporaryDirectory();
      using _ = scope();
      const model = tinyModel("llama_untied");
      const adapter = adaptPatterned(model, settings);
      writeAdapter(dir.path, adapter.config, adapterParameters(model).tensors);
      const before = logitsOf(fused, ids);
      assert.throws(
        () => installAdapter(fused, readAdapter(dir.path)),
        (error: unknown) => error instanceof ConfigError && said.test(error.message),
      );
      assert.deepEqual(logitsOf(fused, ids), before);
    }
    // and the other way round
    using own = temporaryDirectory();
    const adapter = adaptPatterned(fused, tinyAdapterConfig({ targetModules: ["qkv_proj"] }));
    writeAdapter(own.path, adapter.config, adapterParameters(fused).tensors);
    assert.throws(
      () => installAdapter(separate, readAdapter(own.path)),
      /qkv_proj", which this model does not have; its linears are q_proj/,
    );
  });
});

test("what PEFT must know stands in adapter_config.json", () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    const model = tinyModel("llama_tied");
    const adapter = adaptPatterned(model, tinyAdapterConfig({ useRslora: true, modulesToSave: ["lm_head"] }));
    writeAdapter(dir.path, adapter.config, adapterParameters(model).tensors);
    const json = JSON.parse(readFileSync(join(dir.path, "adapter_config.json"), "utf8")) as Record<
      string,
      unknown
    >;
    assert.deepEqual(
      [json["peft_type"], json["r"], json["lora_alpha"], json["use_rslora"], json["modules_to_save"]],
      ["LORA", 4, 8, true, ["lm_head"]],
    );
    assert.deepEqual(json["target_modules"], ["q_proj", "v_proj", "down_proj"]);
  });
});

test("a model is written with one tensor in memory at a time, whether the event loop turns or not", () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    // embedding and head of 256 KiB each in bfloat16, which no tensor of the model is
    const model = tinyModel("llama_untied", { vocab_size: 8192 });
    const before = hostBytes();
    const during: number[] = [];
    const write = io.writeSync;
    const watched = ((...args: Parameters<typeof write>) => {
      during.push(hostBytes() - before);
      return write(...args);
    }) as typeof write;
    io.writeSync = watched;
    try {
      writeMergedModel(dir.path, model, "bfloat16");
    } finally {
      io.writeSync = write;
    }
    assert.ok(Math.max(...during) <= 2 * 8192 * 16, `${Math.max(...during)} bytes`);
    assert.equal(hostBytes(), before);
  });
});
