import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { type FakeHub, fakeModelHub, type HubFiles } from "../../test/support/fake-hub.ts";
import { FileError, FormatError } from "../base/errors.ts";
import { type ModelSearch, resolveModel, resolveModelDirectory } from "./hub-model.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-hub-model-"));
after(() => rmSync(root, { recursive: true }));

const first = "a".repeat(40);
const second = "b".repeat(40);
const files: HubFiles = {
  "config.json": '{"model_type": "llama"}',
  "generation_config.json": '{"a": 1}',
  "tokenizer.json": '{"b": 2}',
  "tokenizer_config.json": '{"c": 3}',
  "processor_config.json": '{"d": 4}',
  "chat_template.jinja": "{{ messages }}",
  "additional_chat_templates/tool_use.jinja": "{{ tools }}",
  "model.safetensors": "weights of the first",
  "pytorch_model.bin": "pickle",
  "modeling_evil.py": "import os",
  "original/consolidated.safetensors": "the same again",
  "onnx/model.onnx": "other",
  "README.md": "text",
};
const wanted: string[] = [
  "additional_chat_templates/tool_use.jinja",
  "chat_template.jinja",
  "config.json",
  "generation_config.json",
  "model.safetensors",
  "processor_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
];

let hub: FakeHub;
let search: ModelSearch;
let told: string[];

beforeEach(() => {
  hub = fakeModelHub("o/n", {
    [first]: files,
    [second]: { ...files, "model.safetensors": "weights of the second" },
  });
  told = [];
  search = {
    fetch: hub.fetch,
    hubUrl: "http://hub.invalid",
    cacheDirectory: mkdtempSync(join(root, "cache-")),
    onPhase: (label, done, total) => told.push(`${label} ${done}/${total}`),
  };
});

function names(directory: string): string[] {
  const found = readdirSync(directory, { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}

test("a directory is taken as it is, also one whose name could be a hub id", async () => {
  const place = mkdtempSync(join(root, "place-"));
  writeFileSync(join(place, "config.json"), "{}");
  const found = { directory: place, name: place, commit: null, pinned: place };
  assert.deepEqual(await resolveModel(place, search), found);
  mkdirSync(join(place, "o", "n"), { recursive: true });
  writeFileSync(join(place, "o", "n", "config.json"), "{}");
  const before = process.cwd();
  process.chdir(place);
  try {
    assert.equal(await resolveModelDirectory("o/n", search), "o/n");
  } finally {
    process.chdir(before);
  }
  assert.deepEqual(hub.requests, []);
});

test("a hub id gives a directory with what is read here, and nothing else", async () => {
  const { directory, name, commit, pinned } = await resolveModel("o/n", search);
  assert.deepEqual(names(directory), wanted);
  assert.equal(readFileSync(join(directory, "model.safetensors"), "utf8"), "weights of the first");
  assert.deepEqual([name, commit, pinned], ["o/n", first, `hub:o/n@${first}`]);
  const total = wanted.reduce((sum, path) => sum + (files[path]?.length ?? 0), 0);
  assert.equal(told.at(-1), `hub:o/n, bytes ${total}/${total}`);
});

test("the cache is Hugging Face's: a blob for each content, a link for each file, a commit for each branch", async () => {
  hub.commits[first] = { ...files, "vocab.json": files["tokenizer.json"] ?? "" };
  const { directory } = await resolveModel("o/n", search);
  const folder = join(search.cacheDirectory ?? "", "models--o--n");
  assert.equal(directory, join(folder, "snapshots", first));
  assert.equal(readFileSync(join(folder, "refs", "main"), "utf8"), first);
  const sha256 = createHash("sha256").update("weights of the first").digest("hex");
  assert.equal(readlinkSync(join(directory, "model.safetensors")), join("..", "..", "blobs", sha256));
  const nested = join(directory, "additional_chat_templates", "tool_use.jinja");
  assert.match(readlinkSync(nested), /^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
  assert.equal(hub.sent.length, wanted.length, "two files of one content come once");
  assert.equal(readdirSync(join(folder, "blobs")).length, wanted.length);
});

/** A snapshot as other programs leave it: nothing of preftune's beside it. */
function placedByOthers(content: HubFiles, branch = "main"): string {
  const folder = join(search.cacheDirectory ?? "", "models--o--n");
  const directory = join(folder, "snapshots", first);
  mkdirSync(join(folder, "refs"), { recursive: true });
  mkdirSync(join(folder, "blobs"));
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(folder, "refs", branch), first);
  for (const [name, text] of Object.entries(content)) {
    const blob = createHash("sha256").update(text).digest("hex");
    writeFileSync(join(folder, "blobs", blob), text);
    symlinkSync(join("..", "..", "blobs", blob), join(directory, name));
  }
  return directory;
}

test("what another program fetched is used: nothing is sent, and without a network nothing is needed", async () => {
  const flat = Object.fromEntries(Object.entries(files).filter(([name]) => !name.includes("/")));
  hub.commits[first] = flat;
  const directory = placedByOthers(flat);
  hub.down = 0;
  assert.equal(await resolveModelDirectory("o/n", search), directory);
  assert.equal(await resolveModelDirectory(`o/n@${first}`, search), directory);
  hub.down = null;
  assert.equal(await resolveModelDirectory("o/n", search), directory);
  assert.deepEqual(hub.sent, []);
});

test("what another program fetched in part is completed, and without a network is no model", async () => {
  const directory = placedByOthers({ "config.json": files["config.json"] ?? "" });
  hub.down = 0;
  await assert.rejects(resolveModel("o/n", search), /ENOTFOUND/);
  assert.equal(await resolveModelDirectory("o/n", { ...search, parts: "text" }), directory);
  hub.down = null;
  hub.breaks.add("generation_config.json");
  await assert.rejects(resolveModel("o/n", { ...search, parts: "text" }), /other side closed|terminated/);
  hub.breaks.clear();
  assert.equal(await resolveModelDirectory("o/n", search), directory);
  assert.deepEqual(names(directory), wanted);
  assert.equal(hub.sent.includes("config.json"), false);
});

test("a shard that is missing makes no model", async () => {
  const index = JSON.stringify({ weight_map: { a: "model-1.safetensors", b: "model-2.safetensors" } });
  const part = { "config.json": "{}", "model.safetensors.index.json": index, "model-1.safetensors": "1" };
  placedByOthers(part);
  hub.down = 0;
  await assert.rejects(resolveModel("o/n", search), /ENOTFOUND/);
});

test("a branch with a slash has its folder, and a revision that leads elsewhere is refused", async () => {
  hub.branches["pr/1"] = first;
  await resolveModel("o/n@pr/1", search);
  assert.equal(
    readFileSync(join(search.cacheDirectory ?? "", "models--o--n", "refs", "pr", "1"), "utf8"),
    first,
  );
  await assert.rejects(resolveModel("o/n@a/../../x", search), FileError);
});

test("what was fetched is not fetched again; a commit needs no hub at all", async () => {
  const { directory, pinned } = await resolveModel("o/n", search);
  hub.sent.length = 0;
  assert.equal(await resolveModelDirectory("hub:o/n", search), directory);
  assert.deepEqual(hub.sent, []);
  hub.requests.length = 0;
  assert.equal(await resolveModelDirectory(pinned, search), directory);
  assert.deepEqual(hub.requests, []);
});

test("revisions never mix: each has a directory of its own", async () => {
  hub.branches["next"] = second;
  const main = await resolveModelDirectory("o/n", search);
  const next = await resolveModelDirectory("o/n@next", search);
  assert.notEqual(main, next);
  assert.equal(readFileSync(join(main, "model.safetensors"), "utf8"), "weights of the first");
  assert.equal(readFileSync(join(next, "model.safetensors"), "utf8"), "weights of the second");
  assert.equal(await resolveModelDirectory(`o/n@${second}`, search), next);
  assert.equal(await resolveModelDirectory("o/n", { ...search, revision: "next" }), next);
  hub.branches["main"] = second;
  assert.equal(await resolveModelDirectory("o/n", search), next);
});

test("a download that breaks off goes on at the file it broke at", async () => {
  hub.breaks.add("model.safetensors");
  await assert.rejects(resolveModel("hub:o/n", search), (error: unknown) => {
    assert.ok(error instanceof FileError);
    assert.match(error.message, /^hub:o\/n: expected to fetch this model from the hub, but: /);
    assert.match(error.message, /or download the files and give their path\.$/);
    return true;
  });
  assert.equal(hub.sent.length, wanted.length - 1);
  hub.breaks.clear();
  hub.sent.length = 0;
  const directory = await resolveModelDirectory("hub:o/n", search);
  assert.deepEqual(hub.sent, ["model.safetensors"]);
  assert.deepEqual(names(directory), wanted);
});

for (const [what, path, lie] of [
  ["weights", "model.safetensors", "weights of the worst"],
  ["settings", "config.json", '{"model_type": "evil."}'],
  ["a cut-off tokenizer", "tokenizer.json", "{"],
  ["a template beside another program's model", "chat_template.jinja", "{"],
] as const) {
  test(`${what} that are not what the hub lists are refused and not kept`, async () => {
    const { "config.json": settings = "", "model.safetensors": weights = "" } = files;
    if (what.endsWith("model")) placedByOthers({ "config.json": settings, "model.safetensors": weights });
    hub.lies[path] = lie;
    const refused = new RegExp(`hub:o/n/${path} came with ${lie.length} of \\d+ bytes or another checksum`);
    await assert.rejects(resolveModel("o/n", search), refused);
    await assert.rejects(resolveModel("o/n", search), refused);
    hub.lies = {};
    const directory = await resolveModelDirectory("o/n", search);
    assert.equal(readFileSync(join(directory, path), "utf8"), files[path]);
  });
}

for (const [what, status] of [
  ["without a network", 0],
  ["when the hub is out of order", 503],
] as const) {
  test(`${what} the branch as fetched before serves, and is told`, async () => {
    const directory = await resolveModelDirectory("o/n", search);
    hub.branches["main"] = second;
    hub.down = status;
    told.length = 0;
    assert.equal(await resolveModelDirectory("o/n", search), directory);
    assert.deepEqual(told, ["hub:o/n: no answer from the hub, its main as fetched before 1/1"]);
    await assert.rejects(resolveModel("o/n@next", search), FileError);
  });
}

test("a branch that moved on but was not fetched whole does not hide the copy before it", async () => {
  const directory = await resolveModelDirectory("o/n", search);
  hub.branches["main"] = second;
  hub.breaks.add("model.safetensors");
  await assert.rejects(resolveModel("o/n", search), /other side closed|terminated/);
  hub.down = 0;
  assert.equal(await resolveModelDirectory("o/n", search), directory);
});

test("a refusal is not taken for silence: a cached copy does not hide it", async () => {
  await resolveModel("o/n", search);
  hub.down = 401;
  await assert.rejects(resolveModel("o/n", search), /\(status 401\).* HF_TOKEN for a gated one/);
});

test("a cached file that was cut is fetched again", async () => {
  const directory = await resolveModelDirectory("o/n", search);
  writeFileSync(join(directory, "model.safetensors"), "cut");
  hub.sent.length = 0;
  await resolveModel("o/n", search);
  assert.deepEqual(hub.sent, ["model.safetensors"]);
  assert.equal(readFileSync(join(directory, "model.safetensors"), "utf8"), files["model.safetensors"]);
});

test("a snapshot that was complete before processors' files were fetched gets them", async () => {
  const directory = await resolveModelDirectory("o/n", search);
  const markers = join(directory, "..", "..", "preftune");
  rmSync(join(directory, "processor_config.json"));
  rmSync(join(markers, `${first}-all-2.json`));
  writeFileSync(join(markers, `${first}-all.json`), "{}");
  await resolveModel("o/n", search);
  assert.deepEqual(names(directory), wanted);
});

test("for data the weights stay away, and come when they are asked for", async () => {
  const directory = await resolveModelDirectory("o/n", { ...search, parts: "text" });
  assert.deepEqual(
    names(directory),
    wanted.filter((name) => name !== "model.safetensors"),
  );
  hub.sent.length = 0;
  assert.equal(await resolveModelDirectory("o/n", search), directory);
  assert.deepEqual(hub.sent, ["model.safetensors"]);
  hub.requests.length = 0;
  await resolveModel(`o/n@${first}`, { ...search, parts: "text" });
  assert.deepEqual(hub.requests, []);
});

test("of sharded weights the index and the shards it names are fetched", async () => {
  const index = {
    weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
  };
  hub.commits[first] = {
    "config.json": "{}",
    "model.safetensors.index.json": JSON.stringify(index),
    "model-00001-of-00002.safetensors": "1",
    "model-00002-of-00002.safetensors": "2",
    "consolidated.safetensors": "12",
  };
  assert.deepEqual(names(await resolveModelDirectory("o/n", search)), [
    "config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
  ]);
});

test("an adapter's settings and tensors are fetched", async () => {
  hub.commits[first] = {
    "adapter_config.json": "{}",
    "adapter_model.safetensors": "x",
    "adapter_model.bin": "y",
  };
  const directory = await resolveModelDirectory("o/n", search);
  assert.deepEqual(names(directory), ["adapter_config.json", "adapter_model.safetensors"]);
});

for (const [what, path, message] of [
  [
    "pickles",
    "pytorch_model.bin",
    /expected safetensors weights .*, got pytorch_model\.bin, which is never fetched\./,
  ],
  ["no weights", "README.md", /expected safetensors weights at the top of the repository, there are none\./],
] as const) {
  test(`a repository of ${what} is refused before anything is fetched`, async () => {
    hub.commits[first] = { "config.json": "{}", [path]: "x" };
    await assert.rejects(resolveModel("o/n", search), (error: unknown) => {
      assert.ok(error instanceof FormatError);
      assert.match(error.message, message);
      return true;
    });
    assert.deepEqual(hub.sent, []);
  });
}

test("names in a list that lead elsewhere are not followed", async () => {
  hub.commits[first] = {
    "config.json": "{}",
    "adapter_model.safetensors": "x",
    "../escaped.safetensors": "x",
    "deep/er.safetensors": "x",
    "additional_chat_templates/../../escaped.jinja": "x",
  };
  const directory = await resolveModelDirectory("o/n", search);
  assert.deepEqual(names(directory), ["adapter_model.safetensors", "config.json"]);
  assert.equal(existsSync(join(directory, "..", "escaped.safetensors")), false);
});

test("a name that is neither a directory nor a hub id is refused with what would do", async () => {
  const place = mkdtempSync(join(root, "near-"));
  mkdirSync(join(place, "model"));
  writeFileSync(join(place, "model.gguf"), "");
  const cases: [string, RegExp][] = [
    [
      join(place, "modle"),
      /expected a model directory or a hub id .* Did you mean "\S+\/model"\? Check the path\.$/,
    ],
    [join(place, "model.gguf"), /expected a model directory, got a file\. Give the directory it is in\.$/],
    ["no/such/folder/model", /expected a model directory or a hub id/],
    ["gpt2", /expected a model directory or a hub id/],
    ["o/n@", /expected a model directory or a hub id/],
    ["o/n@../x", /expected a model directory or a hub id/],
    ["hub:../x", /expected a model directory or a hub id/],
  ];
  for (const [name, message] of cases) {
    await assert.rejects(resolveModel(name, search), (error: unknown) => {
      assert.ok(error instanceof FileError, name);
      assert.match(error.message, message);
      return true;
    });
  }
  assert.deepEqual(hub.requests, []);
});

test("a mistyped path that looks like a hub id is told apart from a hub id that fails", async () => {
  hub.down = 404;
  await assert.rejects(resolveModel("runs/modle", search), {
    message: /^There is no directory runs\/modle, so it was taken for a hub id\. hub:runs\/modle: expected/,
  });
  await assert.rejects(resolveModel("hub:runs/modle", search), { message: /^hub:runs\/modle: expected/ });
});
