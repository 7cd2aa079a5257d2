/** The package's doors: what each exports, and that those of data and formats work without libtorch. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { publicApi, writtenApi } from "../../scripts/public-api.ts";

const root = join(import.meta.dirname, "../..");
const model = join(root, "test", "fixtures", "llama_tied", "model");

test("the public types are those of public-api.txt", () => {
  assert.ok(
    publicApi() === writtenApi(),
    "the public types differ from test/package/public-api.txt: if that is meant, run `npm run api` and commit the file with the change",
  );
});

/** What `code` prints in a process without an addon, and the modules of the checkout that it loaded. */
function withoutAddon(code: string): { printed: string; loaded: string[] } {
  const program = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    ${code}
    console.error(JSON.stringify(loaded));`;
  const flags = ["--conditions=preftune-source", "--input-type=module", "-e", program];
  const env = { ...process.env, PREFTUNE_ADDON: "/nowhere/preftune.node" };
  const { status, stdout, stderr } = spawnSync(process.execPath, flags, { cwd: root, env, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  const urls = JSON.parse(stderr.trim().split("\n").at(-1) as string) as string[];
  return { printed: stdout, loaded: urls.filter((url) => url.includes("/src/")) };
}

// of src/methods the settings are read by the configuration; its losses are libtorch's
const ofTorch = /\/src\/(torch|nn|models|optim|methods\/(\w+\/loss|losses|objective)\.ts)/;

test("preftune/data reads, understands and tokenises rows without libtorch", () => {
  const dir = mkdtempSync(join(tmpdir(), "preftune-doors-"));
  try {
    const rows = join(dir, "pairs.jsonl");
    const row = { prompt: "1, 2,", chosen: " 3", rejected: " 4" };
    writeFileSync(rows, `${JSON.stringify(row)}\n`);
    const { printed, loaded } = withoutAddon(`
      const { createRowEncoder, encodeRows, loadTokenizer, normaliseRow, readRows } = await import("preftune/data");
      const rows = [];
      for await (const row of readRows({ path: ${JSON.stringify(rows)} })) rows.push(normaliseRow(row, { task: "preference" }));
      const tokenizer = loadTokenizer(${JSON.stringify(model)});
      await using encoder = createRowEncoder(tokenizer);
      const [{ promptIds, completions }] = await encodeRows(rows, encoder);
      const text = (ids) => tokenizer.decode(ids, { skipSpecialTokens: true });
      console.log([promptIds, ...completions.map(({ ids }) => ids)].map(text).join("|"));`);
    assert.equal(printed, "1, 2,| 3| 4\n");
    assert.ok(loaded.some((url) => url.includes("/src/data/")));
    assert.deepEqual(
      loaded.filter((url) => ofTorch.test(url)),
      [],
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("preftune/formats reads a model's configuration and weights without libtorch", () => {
  const { printed, loaded } = withoutAddon(`
    const { openWeights, readModelConfig, readTensorBytes } = await import("preftune/formats");
    const { vocabSize, hiddenSize } = readModelConfig(${JSON.stringify(model)});
    const { file, entry } = openWeights(${JSON.stringify(model)}).tensors.get("model.embed_tokens.weight");
    console.log(entry.shape.join() === [vocabSize, hiddenSize].join(), readTensorBytes(file, entry).length);`);
  assert.match(printed, /^true [1-9]\d+$/m);
  assert.ok(loaded.some((url) => url.includes("/src/formats/")));
  assert.deepEqual(
    loaded.filter((url) => ofTorch.test(url)),
    [],
  );
});

test("importing preftune/torch is what loads libtorch's door: the check above can fail", () => {
  const { loaded } = withoutAddon(`await import("preftune/torch");`);
  assert.ok(loaded.some((url) => ofTorch.test(url)));
});
