/** `preftune serve` as a user meets it: what it prints, an adapter by name, its log, signals and exit statuses. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import OpenAI from "openai";
import { isRunning } from "../../src/base/process-state.ts";
import { preftune, type Running, start } from "../support/command.ts";
import { runFixture, runTraining } from "../support/runs.ts";
import { until } from "../support/signalled.ts";
import { endOfTurn, makeTinyModel } from "../support/tiny-model.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

type Line = Record<string, unknown>;

function linesOf(stdout: string): Line[] {
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

interface Served {
  running: Running;
  url: string;
  key: string;
  client: OpenAI;
}

/** Starts the command on a free port and waits until the engine is ready. */
async function serve(
  args: readonly string[],
  env: Record<string, string> = {},
  given?: string,
): Promise<Served> {
  const running = start(["serve", "--port", "0", "--dtype", "float32", "--threads", "1", ...args], env);
  let stdout = "";
  let stderr = "";
  running.child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  running.child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  if (given === undefined) await running.said("API key (made for this run)");
  await running.saw('"event":"engine ready"');
  const listening = linesOf(stdout.slice(0, stdout.indexOf("\n")))[0] ?? assert.fail(stdout);
  const url = String(listening["url"]);
  const key = given ?? /API key \(made for this run\) {2}(\S+)/.exec(stderr)?.[1] ?? "";
  return { running, url, key, client: new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 0 }) };
}

test("a trained adapter is served beside its base model, by name; the log has no text of prompts or answers; SIGTERM ends with 0", async () => {
  using fixture = runFixture({ rows: 8, held: 0 });
  const values = {
    ...fixture.values,
    output_dir: fixture.path("run"),
    use_peft: true,
    max_steps: 2,
    learning_rate: 0.05,
  };
  await runTraining(values);
  const model = String(fixture.values["model_name_or_path"]);
  const { running, url, key, client } = await serve([
    "--model",
    model,
    "--adapter",
    `mine=${fixture.path("run", "adapter")}`,
  ]);
  try {
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.match(key, /^[\w-]{32}$/);
    const models = await client.models.list();
    assert.deepEqual(
      models.data.map(({ id }) => id),
      ["base", "mine"],
    );
    const asked = { prompt: "a secret question", max_tokens: 8, temperature: 0, logprobs: 1 };
    const base = await client.completions.create({ ...asked, model: "base" });
    const adapted = await client.completions.create({ ...asked, model: "mine" });
    const logprobs = (reply: typeof base) => reply.choices[0]?.logprobs?.token_logprobs ?? [];
    assert.notDeepEqual(logprobs(adapted), logprobs(base));
    assert.equal(adapted.model, "mine");
  } finally {
    running.child.kill("SIGTERM");
  }
  const { status, stdout, stderr } = await running.ended;
  assert.equal(status, 0, stderr);
  assert.ok(!stdout.includes("secret"));
  const lines = linesOf(stdout);
  assert.deepEqual(
    lines.map(({ event }) => event),
    ["listening", "engine ready", "request", "request", "request", "stopping", "stopped"],
  );
  const stages = lines[1]?.["stages"] as { name: string; ms: number }[];
  assert.deepEqual(
    stages.map(({ name }) => name),
    ["server", "program and modules", "libtorch", "tokenizer", "weights"],
  );
  const request =
    lines.find(({ event, model: asked }) => event === "request" && asked === "mine") ?? assert.fail();
  assert.deepEqual([request["status"], request["route"], request["error"]], [200, "/v1/completions", null]);
  assert.ok(Number(request["prompt_tokens"]) > 0 && Number(request["completion_tokens"]) > 0);
  // the key is printed once, for people, and is in no line of the log
  assert.equal(stderr.split(key).length, 2);
  assert.ok(!stdout.includes(key));
});

test("SIGINT lets an answer under way end; a key from a file is not printed; a second signal leaves at once", async () => {
  using dir = temporaryDirectory();
  const model = makeTinyModel(join(dir.path, "tiny"));
  const keyFile = join(dir.path, "key");
  writeFileSync(keyFile, "from-outside\n", { mode: 0o600 });
  // the file's key is taken before the variable's
  const { running, client } = await serve(
    ["--model", model, "--name", "other", "--api-key-file", keyFile],
    { PREFTUNE_API_KEY: "in-vain" },
    "from-outside",
  );
  const stream = await client.completions.create({
    model: "other",
    prompt: "hi",
    max_tokens: 300,
    stream: true,
  });
  let chunks = 0;
  let finish: string | null = null;
  for await (const chunk of stream) {
    if (chunks === 0) running.child.kill("SIGINT");
    chunks++;
    finish = chunk.choices[0]?.finish_reason ?? finish;
  }
  assert.ok(finish !== null && chunks > 1);
  const { status, stdout, stderr } = await running.ended;
  assert.equal(status, 0);
  assert.doesNotMatch(stdout + stderr, /from-outside|in-vain/);

  // an answer of many seconds, so that it is not done before the second signal
  const config = { max_position_embeddings: 32_768 };
  const patient = makeTinyModel(join(dir.path, "patient"), { config });
  const again = await serve(["--model", patient]);
  const neverEnds = { max_tokens: 32_000, logit_bias: { [endOfTurn]: -100 } };
  const request = { model: "patient", prompt: "hi", n: 8, stream: true, ...neverEnds } as const;
  const hanging = await again.client.completions.create(request);
  again.running.child.kill("SIGINT");
  await again.running.saw('"event":"stopping"');
  // what comes within a second of the first is the same Ctrl-C: the first that comes later is the second
  const repeated = setInterval(() => again.running.child.kill("SIGINT"), 200);
  const ended = await again.running.ended;
  clearInterval(repeated);
  assert.equal(ended.status, 130);
  const engine = Number(linesOf(ended.stdout).find(({ event }) => event === "engine ready")?.["pid"]);
  assert.ok(engine > 0);
  // it ends by itself when its parent is gone
  await until(() => !isRunning(engine), "the engine to end");
  await assert.rejects(
    (async () => {
      for await (const _ of hanging);
    })(),
  );
});

test("what is wrong is said before anything is loaded, with the command line's exit status", async () => {
  using dir = temporaryDirectory();
  const model = makeTinyModel(join(dir.path, "tiny"));
  const open = await preftune("serve", "--model", model, "--host", "0.0.0.0");
  assert.equal(open.status, 2);
  assert.match(open.stderr, /other machines could reach the server.*PREFTUNE_API_KEY/s);
  const twice = await preftune("serve", "--model", model, "--adapter", `tiny=${dir.path}`);
  assert.equal(twice.status, 2);
  assert.match(twice.stderr, /base model's name already/);
  const missing = await preftune("serve", "--model", join(dir.path, "nothing"));
  assert.ok(missing.status !== 0 && missing.stdout === "");
  const same = await preftune("serve", "--model", model, "--adapter", "a=x", "--adapter", "y/a");
  assert.match(same.stderr, /"a" is there twice/);
  const keys = ["--api-key", "one-secret", "--api-key-file", "other"];
  const twoKeys = await preftune("serve", "--model", model, ...keys);
  assert.equal(twoKeys.status, 2);
  assert.match(twoKeys.stderr, /--api-key and --api-key-file both give a key/);
  assert.doesNotMatch(twoKeys.stderr, /secret/);
  const noAdapter = await preftune("serve", "--model", model, "--port", "0", "--adapter", `x=${dir.path}`);
  assert.equal(noAdapter.status, 5);
  assert.match(noAdapter.stderr, /adapter_config\.json/);
});
