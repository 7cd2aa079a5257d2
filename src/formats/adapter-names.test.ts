/** Tensor names of adapter files and PEFT's rules for naming modules. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { cpuMs } from "../../test/support/cpu-time.ts";
import { pass } from "../../test/support/pass-time.ts";
import { ConfigError } from "../base/errors.ts";
import { loraTensorName, matchTargets, parseAdapterTensorName, savedModuleName } from "./adapter-names.ts";
import { matchPattern } from "./module-patterns.ts";

const linears = [
  "model.layers.0.self_attn.q_proj",
  "model.layers.0.self_attn.k_proj",
  "model.layers.0.mlp.down_proj",
  "model.layers.1.self_attn.q_proj",
  "model.layers.11.self_attn.q_proj",
  "lm_head",
];

describe("tensor names", () => {
  test("as PEFT writes them", () => {
    const q = "model.layers.0.self_attn.q_proj";
    assert.equal(loraTensorName(q, "A"), "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
    assert.equal(loraTensorName(q, "B"), "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
    assert.equal(
      loraTensorName(q, "magnitude"),
      "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
    );
    assert.equal(savedModuleName("lm_head", "weight"), "base_model.model.lm_head.weight");
  });

  test("written and parsed back", () => {
    const module = fc.array(fc.stringMatching(/^[a-z_]{1,8}$|^\d{1,2}$/), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(module, fc.constantFrom("A", "B", "magnitude"), (parts, kind) => {
        const name = parts.join(".");
        fc.pre(!/(^|\.)(lora_|base_layer\.)/.test(`${name}.`));
        assert.deepEqual(parseAdapterTensorName(loraTensorName(name, kind)), { kind, module: name });
        const saved = parseAdapterTensorName(savedModuleName(name, "weight"));
        assert.deepEqual(saved, { kind: "saved", module: name, parameter: "weight" });
      }),
    );
  });

  test("the longer spelling of DoRA's vector, and a bias", () => {
    assert.deepEqual(parseAdapterTensorName("base_model.model.a.lora_magnitude_vector.weight"), {
      kind: "magnitude",
      module: "a",
    });
    assert.deepEqual(parseAdapterTensorName("base_model.model.a.bias"), {
      kind: "saved",
      module: "a",
      parameter: "bias",
    });
  });

  for (const name of [
    "model.layers.0.self_attn.q_proj.lora_A.weight",
    "base_model.model.model.embed_tokens.lora_embedding_A",
    "base_model.model.a.lora_A.bias",
    "base_model.model.a.base_layer.weight",
    "base_model.model.a.hada_w1",
    "base_model.model.weight",
  ]) {
    test(`not understood: ${name}`, () => assert.equal(parseAdapterTensorName(name), null));
  }
});

describe("targets", () => {
  test("a list names paths or their ends, never parts of a name", () => {
    assert.deepEqual(matchTargets(["down_proj", "layers.1.self_attn.q_proj"], linears), [
      linears[2],
      linears[3],
    ]);
    assert.deepEqual(matchTargets(["proj"], linears), []);
    assert.deepEqual(matchTargets(["lm_head"], linears), ["lm_head"]);
  });

  test("all-linear leaves the head out", () => {
    assert.deepEqual(matchTargets("all-linear", linears), linears.slice(0, 5));
    assert.deepEqual(matchTargets("All-Linear", linears, ["down_proj"]).length, 4);
  });

  test("a regular expression must match the whole path", () => {
    assert.deepEqual(matchTargets("q_proj", linears), []);
    assert.deepEqual(matchTargets(".*\\.(?P<name>q_proj|k_proj)", linears).length, 4);
    assert.deepEqual(matchTargets("a|model\\.layers\\.1\\..*", linears), [linears[3]]);
  });

  test("modules saved whole are never targets", () => {
    assert.deepEqual(matchTargets(["lm_head", "down_proj"], linears, ["lm_head"]), [linears[2]]);
    assert.deepEqual(matchTargets(".*", ["a.score", "a.score.x", "a.scorer"], ["score"]), ["a.scorer"]);
  });

  test("an invalid, a long and a catastrophic expression are refused in time", () => {
    assert.throws(() => matchTargets("(", linears), ConfigError);
    assert.throws(() => matchTargets("a".repeat(1001), linears), /at most 1000 characters, got 1001/);
    const took = cpuMs(() => {
      assert.throws(
        () => matchPattern("(([a-z0-9_.]+)+)+!", linears, "target_modules"),
        /timed out.*List the modules/,
      );
    });
    // an attempt on a busy machine may be followed by a long one on an idle one
    assert(took < 60_000);
  });

  test("an expression is not refused where a busy machine holds it up", () => {
    const names = ["", "model.layers.0.self_attn.q_proj"];
    // the clock passes while the names are matched
    Object.defineProperty(names, 0, {
      get: () => {
        pass(700);
        return "model.layers.0.self_attn.k_proj";
      },
    });
    assert.deepEqual(matchPattern(".*q_proj", names, "target_modules"), [names[1]]);
  });
});
