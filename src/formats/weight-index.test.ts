/** Model directories: sound ones, sharded ones written and read back, and every way in which they can be wrong. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import fc from "fast-check";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { listenToWarnings } from "../../test/support/warnings.ts";
import { FileError, FormatError } from "../base/errors.ts";
import { readTensorBytes } from "./safetensors.ts";
import { type TensorSource, writeSafetensors } from "./safetensors-write.ts";
import { openWeights } from "./weight-index.ts";
import { planShards, weightIndexJson, writeWeights } from "./weight-shards.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "preftune-weights-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function tensor(name: string, size: number): TensorSource {
  return { name, dtype: "U8", shape: [size], bytes: () => new Uint8Array(size).fill(name.charCodeAt(0)) };
}

const [shard1, shard2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/** Two shards with a (3 bytes) and b (2 bytes), and an index with this map. */
function sharded(map: Record<string, unknown> = { a: shard1, b: shard2 }): void {
  writeSafetensors(join(dir, shard1), [tensor("a", 3)]);
  writeSafetensors(join(dir, shard2), [tensor("b", 2)]);
  writeIndex(map);
}

function writeIndex(map: unknown): void {
  writeFileSync(join(dir, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
}

function refused(kind: typeof FileError | typeof FormatError, message: RegExp): void {
  assert.throws(
    () => openWeights(dir),
    (error: unknown) => {
      assert(error instanceof kind, String(error));
      assert.match(error.message, message);
      return true;
    },
  );
}

describe("sound directories", () => {
  test("one file", () => {
    const weights = openWeights(fixturePath("qwen3", "model"));
    assert.equal(weights.files.length, 1);
    assert.deepEqual(weights.tensors.get("model.layers.1.self_attn.q_norm.weight")?.entry.shape, [32]);
    const [file] = weights.files;
    assert.equal(weights.totalBytes, (file?.fileBytes ?? 0) - (file?.dataStart ?? 0));
  });

  test("one file is taken before an index, and that is told", async (t) => {
    const warnings = listenToWarnings(t);
    sharded();
    writeSafetensors(join(dir, "model.safetensors"), [tensor("c", 1)]);
    assert.deepEqual([...openWeights(dir).tensors.keys()], ["c"]);
    assert.deepEqual(await warnings(dir), [
      `${dir}: model.safetensors is used, as transformers does; model.safetensors.index.json and its shards are not.`,
    ]);
  });

  test("shards", () => {
    sharded();
    const weights = openWeights(dir);
    assert.equal(weights.files.length, 2);
    assert.equal(weights.totalBytes, 5);
    const b = weights.tensors.get("b");
    assert(b?.file.path.endsWith(shard2));
  });

  test("the hub's cache, whose snapshots are links into its blobs", () => {
    const snapshot = join(dir, "models--a--b", "snapshots", "0123");
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(join(dir, "models--a--b", "blobs"));
    writeSafetensors(join(dir, "models--a--b", "blobs", "cafe"), [tensor("a", 3)]);
    symlinkSync("../../blobs/cafe", join(snapshot, "model.safetensors"));
    assert.equal(openWeights(snapshot).totalBytes, 3);
  });
});

describe("indexes that lie", () => {
  test("a missing shard", () => {
    sharded();
    rmSync(join(dir, shard2));
    refused(
      FileError,
      /1 of 2 shards .* are missing: "model-00002-of-00002\.safetensors"\. Finish the download/,
    );
  });

  test("a tensor that is in no shard, or in the other one", () => {
    sharded({ a: shard1, b: shard2, ghost: shard1 });
    refused(FormatError, /expected tensor "ghost" in model-00001.*not there \(1 such/);
    writeIndex({ a: shard2, b: shard1 });
    refused(FormatError, /expected tensor "a" in model-00002.*\(2 such/);
  });

  test("a tensor the index does not list", () => {
    sharded();
    rmSync(join(dir, shard2));
    writeSafetensors(join(dir, shard2), [tensor("b", 2), tensor("stowaway", 1)]);
    refused(FormatError, /tensors it does not list: "stowaway"/);
  });

  test("the same tensor twice", () => {
    sharded();
    rmSync(join(dir, shard2));
    writeSafetensors(join(dir, shard2), [tensor("b", 2), tensor("a", 1)]);
    refused(FormatError, /00002.*tensor "a" is also in model-00001-of-00002\.safetensors/);
  });

  for (const name of [
    "../other/model.safetensors",
    "/etc/model.safetensors",
    "sub/model.safetensors",
    "..\\model.safetensors",
    "c:model.safetensors",
    "..",
    "",
    "model.bin",
    ".hidden.safetensors",
    "a\u0000.safetensors",
  ]) {
    test(`shard name ${JSON.stringify(name)}`, () => {
      sharded({ a: name, b: shard2 });
      refused(FormatError, /expected shard names like .* A shard must lie in the model directory/);
    });
  }

  test("no map, an empty map, a map to something else", () => {
    sharded();
    for (const map of [null, [], {}, "x"]) {
      writeIndex(map);
      refused(FormatError, /expected "weight_map" to map tensor names to files/);
    }
    writeIndex({ a: 1 });
    refused(FormatError, /weight_map "a": expected a file name, got 1/);
  });

  test("links out of the directory and links to nothing", () => {
    const outside = mkdtempSync(join(tmpdir(), "preftune-outside-"));
    try {
      sharded();
      rmSync(join(dir, shard2));
      writeSafetensors(join(outside, "secret"), [tensor("b", 2)]);
      symlinkSync(join(outside, "secret"), join(dir, shard2));
      refused(FormatError, /expected a file in the model directory, got a symbolic link to/);
      symlinkSync(join(outside, "secret"), join(dir, "model.safetensors"));
      refused(FormatError, /got a symbolic link to/);
      rmSync(join(outside, "secret"));
      refused(FileError, /model\.safetensors: the link leads to nothing/);
    } finally {
      rmSync(outside, { recursive: true });
    }
  });
});

describe("directories without safetensors weights", () => {
  for (const [name, message] of [
    ["pytorch_model.bin", /got the pickle pytorch_model\.bin.*never opened.*save_pretrained/],
    ["pytorch_model-00001-of-00002.bin", /got the pickle/],
    ["model.pt", /got the pickle/],
    ["model.pth", /got the pickle/],
    ["last.ckpt", /got the pickle/],
    ["model-Q4_1.gguf", /got only model-Q4_1\.gguf.*GGUF cannot be trained/],
    ["consolidated.safetensors", /got consolidated\.safetensors and no index/],
    ["adapter_config.json", /got a PEFT adapter/],
    ["README.md", /got neither/],
  ] as const) {
    test(name, () => {
      writeFileSync(join(dir, name), "x");
      refused(FormatError, message);
    });
  }

  test("empty, missing, a file", () => {
    refused(FormatError, /the directory is empty/);
    assert.throws(
      () => openWeights(join(dir, "none")),
      /Cannot read model directory .*none: there is no such/,
    );
    writeFileSync(join(dir, "file"), "x");
    assert.throws(() => openWeights(join(dir, "file")), /Expected a model directory, got the file/);
  });
});

describe("planning and writing shards", () => {
  test("a plan by hand", () => {
    const tensors = [3, 3, 4, 20, 1].map((bytes, i) => ({ name: `t${i}`, bytes }));
    const plan = planShards(tensors, 10);
    assert.deepEqual(
      plan.shards.map(({ fileName, tensorNames, bytes }) => [fileName, tensorNames.join(), bytes]),
      [
        ["model-00001-of-00003.safetensors", "t0,t1,t2", 10],
        ["model-00002-of-00003.safetensors", "t3", 20],
        ["model-00003-of-00003.safetensors", "t4", 1],
      ],
    );
    const index = weightIndexJson(plan);
    assert.equal(index?.metadata.total_size, 31);
    assert.deepEqual(Object.entries(index?.weight_map ?? {})[3], ["t3", "model-00002-of-00003.safetensors"]);
    assert.equal(planShards(tensors).shards[0]?.fileName, "model.safetensors");
    assert.equal(weightIndexJson(planShards(tensors)), null);
    assert.throws(() => planShards(tensors, 0), /shard size above 0 bytes, got 0/);
  });

  test("every tensor once, no file over the limit but for single giants", () => {
    const sizes = fc.array(fc.nat(30), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 40 }), (bytes, limit) => {
        const tensors = bytes.map((size, i) => ({ name: `t${i}`, bytes: size }));
        const { shards } = planShards(tensors, limit);
        assert.deepEqual(
          shards.flatMap((shard) => shard.tensorNames),
          tensors.map((t) => t.name),
        );
        for (const shard of shards)
          assert(shard.bytes <= limit || shard.tensorNames.length === 1 || shard.bytes === 0);
      }),
    );
  });

  test("what is written opens again", () => {
    const tensors = [tensor("a", 6), tensor("b", 6), tensor("c", 3)];
    assert.equal(writeWeights(dir, tensors, { maxShardBytes: 10 }), 15);
    const weights = openWeights(dir);
    assert.equal(weights.files.length, 2);
    for (const { name, bytes } of tensors) {
      const location = weights.tensors.get(name);
      assert(location);
      assert.deepEqual(readTensorBytes(location.file, location.entry), bytes());
    }
    const index = JSON.parse(readFileSync(join(dir, "model.safetensors.index.json"), "utf8"));
    assert.deepEqual(index.metadata, { total_size: 15 });
  });
});
