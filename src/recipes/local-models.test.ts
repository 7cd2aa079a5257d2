import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type FakeHub, fakeModelHub, type HubFiles } from "../../test/support/fake-hub.ts";
import { assertSameRun, runFixture, runTraining, type Values } from "../../test/support/runs.ts";
import { makeTinyModel } from "../../test/support/tiny-model.ts";
import { readSealed } from "../base/sealed.ts";
import { merge } from "./merge.ts";
import { runFiles } from "./push.ts";
import { score } from "./score.ts";

const first = "1".repeat(40);
const second = "2".repeat(40);

const fixture = runFixture({ rows: 8, held: 4 });
const base = String(fixture.values["model_name_or_path"]);
const hub: FakeHub = fakeModelHub("o/n", {
  [first]: filesIn(base),
  [second]: filesIn(makeTinyModel(fixture.path("other"), { seed: 2 })),
});
const adapters: FakeHub = fakeModelHub("o/adapter", {});

const globals = {
  fetch: globalThis.fetch,
  endpoint: process.env["HF_ENDPOINT"],
  cache: process.env["XDG_CACHE_HOME"],
};
globalThis.fetch = ((input: string | URL | Request, init?: RequestInit) => {
  const request = new Request(input instanceof Request ? input.url : input, init);
  return (request.url.includes("/o/adapter/") ? adapters : hub).fetch(request);
}) as typeof fetch;
process.env["HF_ENDPOINT"] = "http://hub.invalid";
process.env["XDG_CACHE_HOME"] = fixture.path("cache");

after(() => {
  globalThis.fetch = globals.fetch;
  restore("HF_ENDPOINT", globals.endpoint);
  restore("XDG_CACHE_HOME", globals.cache);
  fixture[Symbol.dispose]();
});

function restore(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}

/** The files of a directory as a hub's commit. */
function filesIn(dir: string): HubFiles {
  const names = readdirSync(dir).filter((name) => statSync(join(dir, name)).isFile());
  return Object.fromEntries(names.map((name) => [name, Uint8Array.from(readFileSync(join(dir, name)))]));
}

const lora: Values = {
  ...fixture.values,
  objective: "slime",
  use_peft: true,
  lora_r: 2,
  lora_alpha: 4,
  lora_dropout: 0,
  learning_rate: 1e-2,
  per_device_train_batch_size: 4,
  max_steps: 4,
  save_steps: 1,
  eval_strategy: "no",
};

function baseModelIn(dir: string): unknown {
  return settingsIn(dir)["base_model_name_or_path"];
}

function settingsIn(dir: string): Record<string, unknown> {
  return readSealed(join(dir, "adapter_config.json"));
}

test("a run from a hub id is that from the directory, and names its model as it was given", async () => {
  const [local, fetched] = [fixture.path("local"), fixture.path("fetched")];
  await runTraining({ ...lora, output_dir: local });
  await runTraining({ ...lora, output_dir: fetched, model_name_or_path: "o/n" });
  const weights = (dir: string) => readFileSync(join(dir, "adapter", "adapter_model.safetensors"));
  assert.deepEqual(weights(fetched), weights(local));
  assert.equal(baseModelIn(join(fetched, "adapter")), "o/n");
  assert.equal(baseModelIn(join(fetched, "checkpoints", "checkpoint-4")), "o/n");
  assert.equal(baseModelIn(join(local, "adapter")), base);
  assert.match(readFileSync(join(fetched, "config.yaml"), "utf8"), /^model_name_or_path: o\/n\b/m);
  assert.deepEqual(readSealed(join(fetched, "models.json")), { model_name_or_path: `hub:o/n@${first}` });
  assert.equal(existsSync(join(local, "models.json")), false);
});

test("a run that goes on has the revision it began with, though the branch has moved", async () => {
  const dir = fixture.path("moved");
  const values = { ...lora, output_dir: dir, model_name_or_path: "hub:o/n" };
  const stop = new AbortController();
  await runTraining(values, {
    signal: stop.signal,
    onEvent: (event) => event.type === "step" && event.step === 2 && stop.abort(),
  });
  hub.branches["main"] = second;
  const { events } = await runTraining({ ...values, resume_from_checkpoint: "latest" });
  hub.branches["main"] = first;
  assertSameRun(dir, fixture.path("fetched"), 4);
  assert.deepEqual(
    events.filter((event) => event.type === "note" && event.text.startsWith("changed")),
    [],
  );
});

test("score and merge take hub ids for model, adapter and reference", async () => {
  const adapter = join(fixture.path("local"), "adapter");
  adapters.commits[first] = filesIn(adapter);
  adapters.branches["main"] = first;
  const data = fixture.path("held.jsonl");
  const machine = { device: "cpu", dtype: "float32", threads: 1 } as const;
  const want = await score({ ...machine, model: base, adapter, data });
  const got = await score({ ...machine, model: "o/n", adapter: "o/adapter", data });
  assert.deepEqual(got.rows, want.rows);
  const plain = await score({ ...machine, model: "o/n", data });
  assert.notDeepEqual(plain.rows, want.rows);
  mkdirSync(fixture.path("merged"));
  const phases: string[] = [];
  const output = fixture.path("merged", "model");
  const onPhase = (label: string) => phases.push(label);
  const result = await merge({ ...machine, model: `o/n@${second}`, adapter: "o/adapter", output, onPhase });
  assert.equal(result.kind, "model");
  assert.ok(phases.includes("hub:o/n, bytes"));
});

test("a run from an adapter of the hub keeps the adapter's revision", async () => {
  const dir = fixture.path("from-adapter");
  const { lora_r: _, lora_alpha: __, ...rest } = lora;
  const values = { ...rest, output_dir: dir, adapter_name_or_path: "o/adapter", max_steps: 1 };
  await runTraining(values);
  assert.deepEqual(readSealed(join(dir, "models.json")), {
    adapter_name_or_path: `hub:o/adapter@${first}`,
  });
  assert.equal(baseModelIn(join(dir, "adapter")), base);
});

test("an adapter names the revision of its base that the run asked for; PEFT loads main without one", async () => {
  hub.branches["next"] = second;
  const dir = fixture.path("next");
  const values: Values = { ...lora, model_name_or_path: "o/n@next", max_steps: 1, output_dir: dir };
  await runTraining(values);
  const named = { base_model_name_or_path: "o/n", revision: second };
  const baseIn = (place: string) => {
    const { base_model_name_or_path, revision } = settingsIn(place);
    return { base_model_name_or_path, revision };
  };
  assert.deepEqual(baseIn(join(dir, "adapter")), named);
  const pushed = await runFiles(dir, { what: "adapter", baseModel: null, license: "mit" });
  const settings = pushed.files.find(({ path }) => path === "adapter_config.json")?.content;
  assert.ok(settings !== undefined && "text" in settings);
  assert.partialDeepStrictEqual(JSON.parse(settings.text), named);
  const moved = await runFiles(dir, { what: "adapter", baseModel: "p/n", license: "mit" });
  const other = moved.files.find(({ path }) => path === "adapter_config.json")?.content;
  assert.ok(other !== undefined && "text" in other);
  assert.equal(JSON.parse(other.text).revision, null, "of another repository");

  const { lora_r: _, lora_alpha: __, ...rest } = values;
  const again = fixture.path("continued");
  await runTraining({ ...rest, adapter_name_or_path: join(dir, "adapter"), output_dir: again });
  assert.deepEqual(baseIn(join(again, "adapter")), named);
  assert.deepEqual(baseIn(join(fixture.path("moved"), "adapter")), { ...named, revision: null });
});
