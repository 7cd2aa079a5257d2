/** Keys of judges: taken from variables that are set, and never shown. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Command, Option } from "commander";
import { ConfigError } from "../base/errors.ts";
import {
  type JudgeCliOptions,
  type JudgeEndpointOptions,
  judgeOf,
  withJudge,
  withJudgeOptions,
} from "./judge-options.ts";

function parsed(...args: string[]): JudgeEndpointOptions {
  const command = withJudge(new Command(), new Option("--judge <url#model>"))
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  command.parse(["--judge", "http://127.0.0.1:8000/v1#m", ...args], { from: "user" });
  return command.opts();
}

test("the usual variable may be unset; one that the user names has to be set, and is not shown: it may be the key", () => {
  process.env["PREFTUNE_TEST_JUDGE"] = "k3y";
  assert.equal(judgeOf(parsed("--judge-key-env", "PREFTUNE_TEST_JUDGE")).judge.apiKey, "k3y");
  delete process.env["PREFTUNE_TEST_JUDGE"];
  assert.equal(judgeOf(parsed()).judge.apiKey, process.env["PREFTUNE_JUDGE_KEY"] ?? null);
  for (const name of ["PREFTUNE_TEST_JUDGE", "sk-secret-0123456789"]) {
    assert.throws(
      () => judgeOf(parsed("--judge-key-env", name)),
      (error: Error) =>
        error instanceof ConfigError &&
        error.message.startsWith("--judge-key-env: expected the name of a variable that is set") &&
        !error.message.includes(name),
    );
  }
});

test("fields of requests that are keys are refused, since reports have the fields; others are let through", () => {
  for (const name of [
    "api_key",
    "API-KEY",
    "apikey",
    "client_secret",
    "password",
    "Authorization",
    "access_token",
  ]) {
    assert.throws(
      () => parsed("--judge-extra", JSON.stringify({ [name]: "s3cret" })),
      (error: Error) =>
        error instanceof ConfigError &&
        error.message.includes("give the key by --judge-key-env") &&
        !error.message.includes("s3cret"),
    );
  }
  const harmless = { max_tokens: 5, token_limit: 3, seed: 1, prompt_cache_key: "a" };
  assert.deepEqual(parsed("--judge-extra", JSON.stringify(harmless)).judgeExtra, harmless);
  const ofAnswers = (fields: object): JudgeCliOptions =>
    withJudgeOptions(new Command())
      .exitOverride()
      .parse(["--judge", "http://127.0.0.1:8000/v1#m", "--answer-extra", JSON.stringify(fields)], {
        from: "user",
      })
      .opts();
  assert.deepEqual(ofAnswers(harmless).answerExtra, harmless);
  assert.throws(
    () => ofAnswers({ api_key: "s3cret" }),
    /^ConfigError: --answer-extra: "api_key" would stand in reports\. .* give the key by --answer-key-env\.$/,
  );
});

test("--dir is --output for commands with a judge; the last one given holds", () => {
  const outputOf = (...args: string[]): unknown => {
    const command = withJudgeOptions(new Command()).exitOverride();
    return command.parse(["--judge", "http://127.0.0.1:8000/v1#m", ...args], { from: "user" }).opts()[
      "output"
    ];
  };
  assert.equal(outputOf("--dir", "a"), "a");
  assert.equal(outputOf("--output", "b", "--dir", "a"), "a");
  assert.equal(outputOf("--dir", "a", "--output", "b"), "b");
});
