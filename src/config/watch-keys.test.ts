/** Keys of the collapse watch: what is taken, what is refused, and what reading them again gives. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { ConfigError } from "../base/errors.ts";
import { loadConfig, type ResolvedConfig } from "./load-config.ts";
import { resolvedToYaml } from "./print-config.ts";

const base = { model_name_or_path: "m", train_data: "a.jsonl", eval_data: "b.jsonl", output_dir: "out" };
const watched = { ...base, watch_prompts: "eval" };

function load(values: Record<string, unknown>, overrides: [string, string][] = []): ResolvedConfig {
  return loadConfig({ values, overrides });
}

function refused(values: Record<string, unknown>, message: RegExp, overrides: [string, string][] = []): void {
  assert.throws(
    () => load(values, overrides),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    },
  );
}

const defaults = {
  repetition: 0.2,
  ended_properly: 0.3,
  distinct_2: 0.5,
  self_bleu: null,
  malformed: 0.3,
  length: 4,
  chosen_down: null,
  chosen_fall: 1,
  drift: null,
  tail: null,
  kl: null,
  gold_fall: null,
};

test("a few prompts are answered wherever there is an evaluation, and more where it is asked for", () => {
  const sizes = ({ config }: ResolvedConfig) =>
    [config.watch_prompts, config.watch_rows, config.watch_samples, config.watch_max_new_tokens].join(" ");
  assert.equal(sizes(load(base)), "eval 4 1 96");
  assert.equal(load(base).config.watch_action, "warn");
  assert.equal(sizes(load(watched)), "eval 16 2 256");
  assert.equal(sizes(load({ ...base, watch_rows: 7 })), "eval 7 1 96");
});

test("nothing is answered where it is turned off, nothing is evaluated, or it would cost too much", () => {
  const { eval_data: _, ...blind } = base;
  const off = [
    { ...base, watch_prompts: null },
    blind,
    { ...base, objective: "reward" },
    { ...base, shard: "all" },
    { ...base, objective: "grpo", reward_funcs: ["exact"] },
  ];
  for (const values of off) assert.equal(load(values).config.watch_prompts, null, JSON.stringify(values));
});

test("thresholds that are left out keep their defaults, in a file and on the command line", () => {
  const given = load({ ...watched, watch_thresholds: { malformed: null, self_bleu: 30 } });
  assert.deepEqual(given.config.watch_thresholds, { ...defaults, malformed: null, self_bleu: 30 });
  for (const text of ["length=6, repetition=null", '{"length": 6, "repetition": null}']) {
    const typed = load(watched, [["watch_thresholds", text]]);
    assert.deepEqual(typed.config.watch_thresholds, { ...defaults, length: 6, repetition: null }, text);
  }
});

test("answers that nobody asked for are judged by no default", () => {
  const sampled = { repetition: null, ended_properly: null, distinct_2: null, self_bleu: null };
  const unasked = { ...defaults, ...sampled, malformed: null, length: null };
  const resolved = load(base);
  assert.deepEqual(resolved.config.watch_thresholds, unasked);
  const own = load({ ...base, watch_thresholds: { length: 6, chosen_fall: 2 } }).config.watch_thresholds;
  assert.deepEqual(own, { ...unasked, length: 6, chosen_fall: 2 });
  const again = load(parse(resolvedToYaml(resolved)) as Record<string, unknown>);
  assert.deepEqual(again.config, resolved.config);
  for (const asked of [watched, { ...base, watch_action: "stop" }]) {
    assert.deepEqual(load(asked).config.watch_thresholds, defaults);
  }
});

test("the resolved configuration can be read again", () => {
  const resolved = load({ ...watched, watch_thresholds: { chosen_down: 0.9 }, watch_action: "restore" });
  const again = load(parse(resolvedToYaml(resolved)) as Record<string, unknown>);
  assert.deepEqual(again.config, resolved.config);
});

test("wrong thresholds are refused by name", () => {
  refused(
    { ...watched, watch_thresholds: { repetitions: 1 } },
    /watch_thresholds: unknown key "repetitions".*"repetition"/,
  );
  refused({ ...watched, watch_thresholds: { malformed: -1 } }, /watch_thresholds\.malformed/);
  refused({ ...watched, watch_thresholds: { length: 0.5 } }, /watch_thresholds\.length/);
  refused(watched, /watch_thresholds/, [["watch_thresholds", "length=long"]]);
  refused(watched, /watch_thresholds/, [["watch_thresholds", "length"]]);
  refused({ ...watched, watch_action: "pray" }, /watch_action: expected one of "warn", "stop", "restore"/);
});

test("keys without effect and contradictions are refused", () => {
  refused(
    { ...base, watch_prompts: null, watch_action: "stop", watch_thresholds: { chosen_fall: null } },
    /watch_action.*watch_prompts is null.*Say in watch_prompts what is answered/s,
  );
  refused({ ...watched, eval_strategy: "no" }, /watch_prompts.*needs evaluation during training/);
  refused({ ...watched, watch_temperature: 0 }, /watch_samples.*2 answers at temperature 0 are all the same/);
  assert.equal(load({ ...watched, watch_temperature: 0, watch_samples: 1 }).config.watch_samples, 1);
});

test("without sampled answers bounds on given ones are taken, and those on sampled ones refused by name", () => {
  const blind = { ...base, watch_prompts: null };
  for (const bounds of [{ chosen_fall: 0.2 }, { chosen_fall: 1 }, { chosen_down: 0.5 }, { drift: 0.5 }]) {
    const resolved = load({ ...blind, watch_thresholds: bounds, watch_action: "stop" });
    assert.deepEqual(resolved.config.watch_thresholds, { ...defaults, ...bounds });
    // as it is printed, with the defaults of all others, it is the same
    const again = load(parse(resolvedToYaml(resolved)) as Record<string, unknown>);
    assert.deepEqual(again.config, resolved.config);
  }
  refused(
    { ...blind, watch_thresholds: { length: 6 } },
    /watch_thresholds has no effect.*watch_prompts is null/,
  );
  refused(
    { ...blind, watch_thresholds: { drift: 0.5, length: 6, self_bleu: 3 } },
    /watch_thresholds: self_bleu, length: of sampled answers, and watch_prompts is null/,
  );
  assert.equal(
    load({ ...blind, watch_thresholds: { chosen_fall: null } }).config.watch_thresholds.drift,
    null,
  );
  refused({ ...base, objective: "reward", watch_thresholds: { drift: 1 } }, /watch_thresholds has no effect/);
  const late = { ...blind, eval_on_start: false };
  assert.match(
    load({ ...late, watch_thresholds: { drift: 0.5 } }).warnings.join(),
    /watch_thresholds: drift: of changes since the first evaluation, and eval_on_start is false/,
  );
  assert.deepEqual(load(late).warnings, []);
});

test("a start that is no start is warned of", () => {
  assert.match(load({ ...watched, eval_on_start: false }).warnings.join("\n"), /counts as the start/);
  assert.doesNotMatch(load(watched).warnings.join("\n"), /counts as the start/);
});
