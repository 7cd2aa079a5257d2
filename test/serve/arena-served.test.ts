/**
 * Contestants of the arena that are models here: a base and an adapter of it at three scales have one server, a process of the dashboard's
 * alone, which the first question starts and which is gone with the dashboard, or some time after the last question.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isRunning } from "../../src/base/process-state.ts";
import { readContestants } from "../../src/dashboard/contestants.ts";
import { ServedContestants } from "../../src/dashboard/served-contestants.ts";
import { start } from "../support/command.ts";
import { type DashboardApp, startDashboard, withDashboardApp } from "../support/dashboards.ts";
import { makeTinyAdapter, makeTinyModel } from "../support/tiny-model.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const dir = temporaryDirectory();
after(() => dir[Symbol.dispose]());
const base = makeTinyModel(join(dir.path, "base"));
const adapter = makeTinyAdapter(join(dir.path, "adapter"), base);

/** Always the same answers, of which no name is part. */
const settings = "temperature: 0, max_tokens: 24";
const names = ["name-plain", "name-none", "name-part", "name-whole"] as const;
const arena = [
  "device: cpu",
  "threads: 1",
  "contestants:",
  `  - { name: ${names[0]}, model_name_or_path: ${base}, ${settings} }`,
  `  - { name: ${names[1]}, adapter: "${adapter}@scale=0", ${settings} }`,
  `  - { name: ${names[2]}, adapter: ${adapter}, adapter_scale: 0.4, ${settings} }`,
  `  - { name: ${names[3]}, adapter: ${adapter}, adapter_scale: 1, ${settings} }`,
].join("\n");

function writeArena(root: string, text: string): void {
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, "arena.yaml"), text);
}

type Fight = Record<"battle" | "left" | "right" | "problem", string> & { bytes: string };

function read(bytes: string): Fight {
  const pieces = bytes
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string>);
  const all = (key: string): string => pieces.map((piece) => piece[key] ?? "").join("");
  return { battle: all("battle"), left: all("left"), right: all("right"), problem: all("problem"), bytes };
}

const question = "Say something.";

async function fight({ ask }: DashboardApp, pair?: readonly string[]): Promise<Fight> {
  const body = { prompt: question, ...(pair === undefined ? {} : { pair }) };
  return read(await (await ask("/api/arena/battles", { as: "owner", method: "POST", body })).text());
}

/** What `preftune generate` prints at a scale. */
async function generated(scale: number): Promise<string> {
  const place = ["--model", base, "--adapter", `${adapter}@scale=${scale}`];
  const options = ["--temperature", "0", "--max-new-tokens", "24", "--device", "cpu", "--threads", "1"];
  const { status, stdout, stderr } = await start(["generate", ...place, "--prompt", question, ...options])
    .ended;
  assert.equal(status, 0, stderr);
  return stdout;
}

const childrenOf = (pid: number): number[] =>
  (readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").match(/\d+/g) ?? []).map(Number);

/** The process and those that it started. */
const familyOf = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(familyOf)];

async function areGone(pids: readonly number[]): Promise<void> {
  while (pids.some((pid) => isRunning(pid))) await sleep(20);
}

test("models of one base share one server, stream blind, and are gone with the dashboard", async () => {
  let family: number[] = [];
  await withDashboardApp(async (app) => {
    const { bench, served } = app.context;
    writeArena(bench.dir, arena);
    const view = (await (await app.ask("/api/arena", { as: "owner" })).json()) as { names: string[] };
    assert.deepEqual(view.names, names);
    assert.deepEqual(served.pids, [], "nothing is loaded before somebody asks");

    const same = await fight(app, [names[0], names[1]]);
    assert.match(same.bytes, /"loading":0/);
    assert.notEqual(same.left, "", same.bytes);
    assert.equal(same.left, same.right, "none of the adapter is the base");
    const [pid = 0] = served.pids;
    family = familyOf(pid);

    const sides = new Set<boolean>();
    for (let i = 0; i < 20; i++) {
      const { battle, left, right, bytes } = await fight(app, [names[3], names[0]]);
      for (const word of [...names, base, "variant-", "127.0.0.1", "loading"])
        assert.ok(!bytes.includes(word), word);
      assert.notEqual(left, right, "all of the adapter is not");
      const isLeft = left === same.left;
      sides.add(isLeft);
      const body = { battle, verdict: "tie" };
      const vote = await app.ask("/api/arena/votes", { as: "owner", method: "POST", body });
      assert.deepEqual(
        await vote.json(),
        isLeft ? { left: names[0], right: names[3] } : { left: names[3], right: names[0] },
      );
    }
    assert.equal(sides.size, 2, "20 fair coins do not fall alike");

    const parts = await fight(app, [names[2], names[3]]);
    const shown = [parts.left, parts.right].map((text) => `${text}\n`);
    assert.deepEqual(shown.sort(), [await generated(0.4), await generated(1)].sort());
    assert.ok(!shown.includes(`${same.left}\n`), "nor is a part of the adapter");
    await Promise.all([fight(app), fight(app), fight(app)]);
    assert.deepEqual(served.pids, [pid], "one process, however many ask");
    assert.deepEqual(app.faults, []);
    const strange = { prompt: "x", pair: [names[0], "http://evil.example"] };
    const refused = await app.ask("/api/arena/battles", { as: "owner", method: "POST", body: strange });
    assert.match(await refused.text(), /pair: expected two of the contestants name-plain, /);
  });
  assert.ok(family.length > 1, "a server and its engine");
  await areGone(family);
});

test("a dashboard that is killed leaves no server, and nobody but it can ask one", async () => {
  const root = join(dir.path, "killed");
  writeArena(join(root, "workbench"), arena);
  const { running, link } = await startDashboard(root);
  const { origin, hash } = new URL(link);
  const post = (path: string, body: object, cookie = ""): Promise<Response> =>
    fetch(`${origin}${path}`, {
      ...{ method: "POST", body: JSON.stringify(body) },
      headers: { "content-type": "application/json", cookie },
    });
  const login = await post("/api/session", { token: hash.replace("#token=", "") });
  const cookie = (login.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  const { left, bytes } = read(
    await (await post("/api/arena/battles", { prompt: "Continue." }, cookie)).text(),
  );
  assert.notEqual(left, "", bytes);
  const [, ...family] = familyOf(running.child.pid ?? 0);
  assert.ok(family.length > 1);
  for (const pid of family) {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8") + readFileSync(`/proc/${pid}/environ`, "utf8");
    assert.doesNotMatch(words, /PREFTUNE_API_KEY|api-key/);
  }
  running.child.kill("SIGKILL");
  await areGone(family);
});

test("a server ends after a time without a question, and the next one starts another", async () => {
  const root = join(dir.path, "idle");
  writeArena(root, arena);
  const contestants = readContestants(root);
  await using closing = new AsyncDisposableStack();
  const served = closing.adopt(new ServedContestants(100), (one) => one.close());
  const asked = async (): Promise<number> => {
    using wanted = served.want(contestants);
    const [first] = await wanted.ready;
    const answer = await fetch(`${first?.url}/models`);
    assert.equal(answer.status, 401, "it has a key");
    return served.pids[0] ?? 0;
  };
  const pid = await asked();
  const family = familyOf(pid);
  await areGone(family);
  assert.deepEqual(served.pids, []);
  assert.notEqual(await asked(), pid);
});

test("a model that cannot be loaded: the page says why, in words, and the next question tries again", async () => {
  await withDashboardApp(async (app) => {
    const broken = makeTinyModel(join(app.root, "broken"));
    writeFileSync(join(broken, "model.safetensors"), "no weights");
    const other = `  - { name: other, model_name_or_path: ${broken} }`;
    writeArena(app.context.bench.dir, `${arena}\n${other}\n`);
    for (let i = 0; i < 2; i++) {
      const { problem, left } = await fight(app, ["other", names[0]]);
      assert.match(problem, /broken.model\.safetensors/);
      assert.equal(left, "");
    }
    assert.deepEqual(app.faults, []);
  });
});
