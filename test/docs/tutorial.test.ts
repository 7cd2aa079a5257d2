/**
 * docs/tutorial.md, from its data to a GGUF file: the commands of the page in their order, with a tiny model in place of the one it names.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { readGguf } from "../../src/gguf/read.ts";
import { manualShell } from "../support/manual-shell.ts";
import { runFixture } from "../support/runs.ts";
import { snippetsOf } from "../support/snippets.ts";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/tutorial.md"), "utf8");
const fixture = runFixture({ rows: 2, held: 0 });
after(() => fixture[Symbol.dispose]());

test("the page's commands lead from rows to a file for llama.cpp and Ollama", async () => {
  const cwd = fixture.path("checkout");
  const shell = manualShell(cwd, { examples: join(root, "examples") });
  const blocks = snippetsOf(page, "sh").map((block) => block.trimEnd());
  const models = blocks.filter((block) => block.startsWith("MODEL="));
  assert.equal(models.length, 1);
  const [last = "", ...others] = blocks.toReversed();
  assert.match(last, /^ollama create mine -f mine\.Modelfile\n/);
  const commands = others.toReversed();
  assert.equal(commands.filter((block) => block.startsWith("npx preftune")).length, 7);
  const model = `MODEL="${String(fixture.values["model_name_or_path"])}"`;
  const script = commands.map((block) => (block.startsWith("MODEL=") ? model : block)).join("\n");
  const { status, stdout, stderr } = await shell(script);
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  assert.match(stdout, /length_bias/);
  assert.ok(existsSync(join(cwd, "runs/mine/report.html")));
  const { keys } = readGguf(join(cwd, "mine.gguf"));
  assert.deepEqual(keys.get("general.architecture")?.value, "llama");
  const modelfile = readFileSync(join(cwd, "mine.Modelfile"), "utf8");
  assert.match(modelfile, /^FROM .*mine\.gguf\n/m);
  assert.match(modelfile, /^PARAMETER stop "<\|im_end\|>"$/m);
});

test("the row on the page is one of the file that it names", () => {
  const [row = ""] = snippetsOf(page, "json");
  const file = readFileSync(join(root, "examples/pairs.jsonl"), "utf8").trim().split("\n");
  assert.equal(file.length, 64);
  assert.deepEqual(JSON.parse(file[0] ?? ""), JSON.parse(row));
});
