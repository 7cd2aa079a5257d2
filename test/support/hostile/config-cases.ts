/** Hostile config.json, adapters, weight indexes and weights. */
import { mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HostileCase } from "./hostile.ts";
import { configure, type Json, linkInstead, many, pipeInstead, setJson, writePieces } from "./spoil.ts";

const large = /at most/;

function inConfig(name: string, values: Json, expects: RegExp): HostileCase {
  return { name: `config.json: ${name}`, write: (dir) => setJson(dir, "config.json", values), expects };
}

/** A case that is only planned: `plan` believes config.json, no weights tell otherwise. */
function planned(name: string, values: Json, expects: RegExp): HostileCase {
  const command = (dir: string): string[] => ["plan", join(dir, "run.yaml")];
  return { ...inConfig(name, values, expects), name: `plan with config.json: ${name}`, command };
}

/** An index in place of the weights; its `weight_map` is `pieces`. */
function index(name: string, pieces: () => Iterable<string>, expects: RegExp): HostileCase {
  const write = (dir: string): void => {
    unlinkSync(join(dir, "model", "model.safetensors"));
    const path = join(dir, "model", "model.safetensors.index.json");
    writePieces(path, ['{"metadata":{},"weight_map":', ...pieces(), "}"]);
  };
  return { name: `index: ${name}`, write, expects };
}

/** Writes an adapter that trains on, with other settings. */
function adapter(name: string, values: () => Json, expects: RegExp): HostileCase {
  const write = (dir: string): void => {
    mkdirSync(join(dir, "adapter"));
    const usual = {
      peft_type: "LORA",
      task_type: "CAUSAL_LM",
      r: 2,
      lora_alpha: 4,
      target_modules: ["q_proj"],
    };
    writeFileSync(join(dir, "adapter", "adapter_config.json"), JSON.stringify({ ...usual, ...values() }));
    writeAdapterWeights(dir);
    configure(dir, "use_peft: true", `adapter_name_or_path: ${join(dir, "adapter")}`);
  };
  return { name: `adapter: ${name}`, write, expects };
}

function writeAdapterWeights(dir: string): void {
  const header: Json = {};
  let end = 0;
  for (const [part, shape] of [
    ["lora_A", [2, 16]],
    ["lora_B", [32, 2]],
  ] as const) {
    for (const layer of [0, 1]) {
      const name = `base_model.model.model.layers.${layer}.self_attn.q_proj.${part}.weight`;
      const bytes = 4 * shape[0] * shape[1];
      header[name] = { dtype: "F32", shape, data_offsets: [end, end + bytes] };
      end += bytes;
    }
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(
    join(dir, "adapter", "adapter_model.safetensors"),
    Buffer.concat([length, text, Buffer.alloc(end)]),
  );
}

/** Settings, adapters and indexes. */
export const configCases: HostileCase[] = [
  inConfig("a thousand million layers", { num_hidden_layers: 1e9 }, /num_hidden_layers/),
  inConfig("a width of a thousand million", { hidden_size: 1e9 }, /hidden_size/),
  inConfig("a vocabulary of 10^15", { vocab_size: 1e15 }, /vocab_size/),
  inConfig(
    "sizes beyond all numbers",
    { hidden_size: 1e308, intermediate_size: 1e308 },
    /hidden_size|intermediate_size/,
  ),
  inConfig("a million layer types", { layer_types: Array(1e6).fill("full_attention") }, large),
  planned("a thousand million layers", { num_hidden_layers: 1e9 }, /num_hidden_layers/),
  planned("a width of a thousand million", { hidden_size: 1e9 }, /hidden_size/),
  {
    name: "config.json: nested 10,000 deep",
    write: (dir) => {
      const path = join(dir, "model", "config.json");
      writePieces(path, ['{"x":'.repeat(1e4), "1", "}".repeat(1e4)]);
    },
    expects: large,
  },
  {
    name: "config.json: 200 MB",
    write: (dir) => {
      const path = join(dir, "model", "config.json");
      writePieces(path, [readFileSync(path, "utf8"), ...Array<string>(200).fill(" ".repeat(1e6))]);
    },
    expects: large,
  },
  {
    name: "config.json is a named pipe",
    write: (dir) => pipeInstead(join(dir, "model", "config.json")),
    expects: /expected a file, got a named pipe/,
  },
  {
    name: "config.json is /dev/zero",
    write: (dir) => linkInstead(join(dir, "model", "config.json"), "/dev/zero"),
    expects: /expected a file, got a device/,
  },
  {
    name: "model.safetensors is a named pipe",
    write: (dir) => pipeInstead(join(dir, "model", "model.safetensors")),
    expects: /expected a file, got a named pipe/,
  },
  {
    name: "model.safetensors is /dev/zero",
    write: (dir) => linkInstead(join(dir, "model", "model.safetensors"), "/dev/zero"),
    expects: /symbolic link|got a device/,
  },
  index("a million shards", () => many(1e6, (i) => `"t${i}":"model-${i}.safetensors"`), large),
  index("a hundred thousand shards", () => many(1e5, (i) => `"t${i}":"model-${i}.safetensors"`), large),
  index("shards above the directory", () => ['{"a":"../model.safetensors"}'], /shard names|directory itself/),
  index("shards by absolute path", () => ['{"a":"/etc/model.safetensors"}'], /shard names|directory itself/),
  adapter(
    "100,000 entries in rank_pattern",
    () => ({
      rank_pattern: Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => [`layers.${i}.(a|b)`, 2])),
    }),
    large,
  ),
  adapter(
    "1,000 entries in rank_pattern that backtrack",
    () => ({
      rank_pattern: Object.fromEntries(Array.from({ length: 1e3 }, (_, i) => [`(.*.*.*)*x${i}`, 2])),
    }),
    /rank_pattern/,
  ),
  {
    name: "run.yaml: lora_target_modules that backtracks",
    write: (dir) => configure(dir, "use_peft: true", 'lora_target_modules: "([a-z_.0-9]+)*!"'),
    expects: /target_modules/,
  },
  adapter(
    "100,000 names in target_modules",
    () => ({ target_modules: ["q_proj", ...Array.from({ length: 1e5 }, (_, i) => `m${i}`)] }),
    large,
  ),
  {
    name: "adapter_config.json is a named pipe",
    write: (dir) => {
      mkdirSync(join(dir, "adapter"));
      pipeInstead(join(dir, "adapter", "adapter_config.json"));
      configure(dir, "use_peft: true", `adapter_name_or_path: ${join(dir, "adapter")}`);
    },
    expects: /expected a file, got a named pipe/,
  },
];
