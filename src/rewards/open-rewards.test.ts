/** Reward functions that are loaded, scored, and fail: every fault is found and counted, and changes no other score. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { hangsOn, inFolderOf, inputOf, obedient } from "../../test/support/reward-files.ts";
import { ConfigError } from "../base/errors.ts";
import { parseJson } from "../text/json.ts";
import { openRewards, type RewardSettings } from "./open-rewards.ts";
import { RewardError } from "./reward-error.ts";
import type { PromptOrCompletion } from "./reward-function.ts";
import { type FunctionScores, totalRewards, unscoredCounts } from "./scored-completions.ts";

inFolderOf({ "rewards.ts": obedient });

/** One process: starting others takes most of the time here. */
const patient: RewardSettings = { timer: () => () => {}, reward_max_failures: 1, reward_workers: 1 };

/** What one function gives for these completions. */
async function scoresOf(
  name: string,
  completions: readonly string[],
  { groupSizes, ...settings }: RewardSettings & { groupSizes?: number[]; group?: boolean } = {},
  origins?: string[],
): Promise<FunctionScores> {
  const { group, ...rest } = settings;
  const spec = { function: name, ...(group === undefined ? {} : { group }) };
  await using rewards = await openRewards([spec], { ...patient, ...rest });
  const options = {
    ...(groupSizes === undefined ? {} : { groupSizes }),
    ...(origins === undefined ? {} : { origins }),
  };
  const { functions } = await rewards.score(
    inputOf(completions, { answer: completions.map(() => "a") }),
    options,
  );
  const [scores] = functions;
  assert.ok(scores !== undefined);
  return scores;
}

test("values come back in order, of sync and async functions, with the step and typed arrays", async () => {
  await using rewards = await openRewards(
    ["rewards.ts#obey", "rewards.ts#later", { function: "rewards.ts#typed", name: "t" }, "exact", "length"],
    patient,
  );
  assert.deepEqual(rewards.names, ["obey", "later", "t", "exact", "length"]);
  assert.deepEqual(rewards.columns, ["answer"]);
  const input = inputOf(["a", "bb", "ccc"], { answer: ["a", " bb\n", ["x", "y"]] });
  const { functions } = await rewards.score(input, { groupSizes: [1, 2] });
  assert.deepEqual(
    functions.map(({ values }) => values),
    [
      [1, 2, 3],
      [5, 6, 7],
      [1, 2, 3],
      [1, 1, 0],
      [3, 3, 3],
    ],
  );
  assert.ok(functions.every(({ unscored, seconds }) => unscored.length === 0 && seconds >= 0));
  assert.deepEqual(totalRewards({ functions }, [1, 0, 0, 10, -1]), [8, 9, 0]);
});

test("whole floats and large integers of rows come as numbers and BigInts, and are scored like others", async () => {
  writeFileSync(
    "sees.ts",
    `export const sees = ({ columns }) => columns.answer.map((a) => (a === 18 || a === 12345678901234567890n ? 1 : 0));
     export const writes = ({ columns }) => [JSON.stringify(columns.answer) === "[18,18,12345678901234567890]" ? 1 : 0, 1, 1];
     export const adds = ({ columns, prompts }) => columns.more.map((m, i) => m.list[0] + m.list[1] + prompts[i][0].tool_calls[0].n);`,
  );
  const functions = ["number", "exact", "sees.ts#sees", "sees.ts#writes", "sees.ts#adds"];
  await using rewards = await openRewards(functions, patient);
  const lines = ["18.0", "18", "12345678901234567890"].map(
    (answer) => parseJson(`{"answer": ${answer}, "more": {"list": [1.0, 2.5]}}`) as Record<string, unknown>,
  );
  const call = parseJson('[{"role": "assistant", "content": "", "tool_calls": [{"n": 3.0}]}]');
  const columns = { answer: lines.map(({ answer }) => answer), more: lines.map(({ more }) => more) };
  const completions = ["18", "18.0", "12345678901234567890"];
  const input = { ...inputOf(completions, columns), prompts: lines.map(() => call as PromptOrCompletion) };
  const { functions: scores } = await rewards.score(input);
  assert.deepEqual(
    scores.map(({ values }) => values),
    [
      [1, 1, 1],
      [1, 1, 1],
      [1, 1, 1],
      [1, 1, 1],
      [6.5, 6.5, 6.5],
    ],
  );
});

test("null, NaN, infinity, a throw, the end of the process and a hang make their completion alone unscorable", async () => {
  const completions = ["fine", "throw", "null", "exit", "ok", "nan", "hang", "abort", "infinite", "good!"];
  const scores = await scoresOf("rewards.ts#obey", completions, {
    timer: hangsOn("hang"),
    groupSizes: [5, 5],
  });
  assert.deepEqual(scores.values, [4, null, null, null, 2, null, null, null, null, 5]);
  assert.deepEqual(
    scores.unscored.map(({ completion, reason }) => [completion, reason]),
    [
      [1, "error"],
      [2, "null"],
      [3, "error"],
      [5, "not_finite"],
      [6, "timeout"],
      [7, "error"],
      [8, "not_finite"],
    ],
  );
  assert.deepEqual(unscoredCounts(scores), { null: 1, not_finite: 2, error: 3, timeout: 1 });
  const messages = scores.unscored.map(({ message }) => message);
  assert.deepEqual(messages.slice(0, 3), ["I was asked to", "", "its process ended with status 3"]);
  assert.match(messages[5] ?? "", /^its process ended by SIGABRT/);
  assert.deepEqual(totalRewards({ functions: [scores] }, [2]).slice(4, 6), [4, Number.NaN]);
});

test("an exponential regular expression and a promise that never settles are killed", async () => {
  const evil = `${"a".repeat(60)}!`;
  const settings = { groupSizes: [2, 2], timer: hangsOn(evil, "never") };
  assert.deepEqual((await scoresOf("rewards.ts#expression", ["aaa", evil, "b", "a"], settings)).values, [
    1,
    null,
    0,
    1,
  ]);
  assert.deepEqual((await scoresOf("rewards.ts#later", ["a", "bb", "never", "dddd"], settings)).values, [
    5,
    6,
    null,
    8,
  ]);
});

test("the time limit is that of the clock", async () => {
  await using rewards = await openRewards(["rewards.ts#later"], {
    reward_timeout: 0.05,
    reward_max_failures: 1,
  });
  const { functions } = await rewards.score(inputOf(["never"]));
  assert.deepEqual(functions[0]?.unscored, [{ completion: 0, reason: "timeout", message: "" }]);
  assert.ok((functions[0]?.seconds ?? 0) >= 0.045);
});

test("a time limit of months is no limit that has passed", async () => {
  writeFileSync("slow.ts", "export const slow = () => new Promise((done) => setTimeout(done, 50, [1]));");
  await using rewards = await openRewards(["slow.ts#slow"], { reward_timeout: 1e7, reward_max_failures: 1 });
  const { functions } = await rewards.score(inputOf(["a"]));
  assert.deepEqual(functions[0]?.values, [1]);
});

test("a call that cannot begin, for what the one before it left running, is ended too", async () => {
  writeFileSync("busy.ts", "export const busy = () => { setImmediate(() => { for (;;); }); return [1]; };");
  await using rewards = await openRewards(["busy.ts#busy"], { ...patient, timer: hangsOn("b") });
  const { functions } = await rewards.score(inputOf(["a", "b"]), { groupSizes: [1, 1] });
  assert.deepEqual(functions[0]?.values, [1, null]);
  assert.deepEqual(functions[0]?.unscored, [{ completion: 1, reason: "timeout", message: "" }]);
});

test("a function for groups gets a prompt's completions together, or scores none of them", async () => {
  const completions = ["a", "bb", "throw", "d", "ee", "f"];
  const settings = { groupSizes: [2, 2, 2], group: true };
  const scores = await scoresOf("rewards.ts#bestOfGroup", completions, settings);
  assert.deepEqual(scores.values, [0, 1, null, null, 1, 0]);
  assert.deepEqual(unscoredCounts(scores), { null: 0, not_finite: 0, error: 2, timeout: 0 });
  // each alone where it may be called so: then every one is the best of its group
  assert.deepEqual(
    (await scoresOf("rewards.ts#bestOfGroup", completions, { groupSizes: [2, 2, 2] })).values,
    [0, 1, null, 1, 1, 0],
  );
});

test("what is no list of rewards stops the run and names function, row, completion and what came", async () => {
  const cases: [string, string[], RegExp][] = [
    [
      "short",
      ["a", "b", "c"],
      /^rewards\.ts#short: expected a list of 2 numbers.*, got a list of 1 for completions 2 to 3 of 3 \(rows\.jsonl:2\), the first of which is "b"\. Correct/,
    ],
    ["huge", ["a", "b"], /got a list of 10000000 for/],
    ["nothing", ["a", "b"], /got undefined \(is a return missing\?\)/],
    ["single", ["a", "b"], /got number 1 for/],
    [
      "words",
      ["a", "word"],
      /expected a number or null, got the text "x" for completion 2 of 2 \(rows\.jsonl:2\), which is "word"/,
    ],
  ];
  for (const [name, completions, message] of cases) {
    const groupSizes = [1, completions.length - 1];
    const origins = completions.map((_, i) => `rows.jsonl:${i === 0 ? 1 : 2}`);
    await assert
      .rejects(scoresOf(`rewards.ts#${name}`, completions, { groupSizes }, origins), (error: Error) => {
        assert.ok(error instanceof RewardError);
        assert.match(error.message, message);
        return true;
      })
      .catch((error: unknown) => {
        throw new Error(name, { cause: error });
      });
  }
});

test("too many failures stop the run, nulls do not", async () => {
  const half = ["a", "throw", "b", "nan"];
  assert.deepEqual((await scoresOf("rewards.ts#obey", half, { reward_max_failures: 0.5 })).values, [
    1,
    null,
    1,
    null,
  ]);
  await assert.rejects(
    scoresOf("rewards.ts#obey", ["throw", "nan", "x", "throw"], { reward_max_failures: 0.5 }, [
      "rows.jsonl:1",
      "rows.jsonl:1",
      "rows.jsonl:1",
      "rows.jsonl:1",
    ]),
    {
      name: "RewardError",
      message:
        /^rewards\.ts#obey: failed for more than 50 % of the 4 completions \(reward_max_failures\), such as completion [124] of 4 \(rows\.jsonl:1\), which is "(?:throw|nan)": /,
    },
  );
  assert.deepEqual((await scoresOf("rewards.ts#obey", ["null", "null"], { reward_max_failures: 0 })).values, [
    null,
    null,
  ]);
});

test("an abort ends scoring at once, and the functions can be called again", async () => {
  await using rewards = await openRewards(["rewards.ts#obey"], { ...patient, reward_workers: 2 });
  const stop = new AbortController();
  const scoring = rewards.score(inputOf(["hang", "hang", "hang", "a"]), {
    groupSizes: [1, 1, 1, 1],
    signal: stop.signal,
  });
  setTimeout(() => stop.abort(new Error("enough")), 20);
  await assert.rejects(scoring, /enough/);
  assert.deepEqual((await rewards.score(inputOf(["a", "bb"]))).functions[0]?.values, [1, 2]);
  await assert.rejects(
    rewards.score(inputOf(["a"]), { signal: AbortSignal.abort(new Error("early")) }),
    /early/,
  );
});

test("what the functions write goes to standard error, with their name, and not without end", async () => {
  let written = "";
  const onOutput = (text: string): void => {
    written += text;
  };
  await scoresOf("rewards.ts", ["a", "b", "c"], { onOutput });
  assert.equal(written, "[rewards] seen 3\n");
  written = "";
  await scoresOf("rewards.ts#obey", ["loud"], { onOutput });
  assert.ok(written.length < 20_000);
  assert.match(written, /^\[obey\] \(more than 16384 characters in one call: the rest is left out\)\n$/);
});

test("names, options and columns that do not fit are refused before anything runs", async () => {
  const cases: [unknown[], RegExp][] = [
    [["exat"], /^exat: expected FILE#EXPORT or one of exact, .*, got "exat"\. Did you mean "exact"\?$/],
    [["brevity"], /A function of a file is written rewards\.ts#brevity\.$/],
    [
      ["exact", "exact"],
      /two reward functions are named "exact"\. Give one of them a name: \{function: exact, name: exact_2\}\.$/,
    ],
    [
      [{ function: "exact", pattern: "x" }],
      /the option "pattern" is not for it: it takes column, ignore_case\.$/,
    ],
    [[{ function: "rewards.ts#obey", column: "x" }], /a function of a file takes no options, got column/],
    [[{ function: "regex", pattern: "(" }], /^regex: pattern: Invalid regular expression/],
    [["regex"], /^regex: pattern is missing/],
    [[{ function: "length", min: 3, max: 2 }], /min is 3 and max is 2/],
    [[{ function: "length", minimum: 3 }], /^reward_funcs\[0\]\[minimum\]: expected .*, got the number 3\.$/],
    [[{ function: "exact", name: "a b" }], /^reward_funcs\[0\]\[name\]: /],
    [[], /^reward_funcs: expected /],
  ];
  for (const [specs, message] of cases) {
    await assert.rejects(openRewards(specs as string[]), (error: Error) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.match(error.message, message);
      return true;
    });
  }
  await using rewards = await openRewards(["exact"]);
  await assert.rejects(async () => rewards.score(inputOf(["a"], { right: ["a"] })), {
    message:
      'exact: expected a column "answer" with the reference in the rows, found right. Name the column: {function: exact, column: NAME}.',
  });
});

test("the completions of a conversation are compared and counted by their text", async () => {
  await using rewards = await openRewards([
    { function: "exact", ignore_case: true },
    { function: "length", unit: "words" },
    { function: "length", name: "letters", unit: "characters" },
    { function: "length", name: "bounded", unit: "words", min: 2, max: 4 },
  ]);
  const say = (content: string): PromptOrCompletion => [{ role: "assistant", content }];
  const completions = [say("The 🌊 Sea"), say("one"), say("a b c d e"), say("a b c d e f g h i")];
  const answer = ["the 🌊 sea", [{ role: "assistant", content: "One" }], null, 5];
  const { functions } = await rewards.score({ ...inputOf(["", "", "", ""], { answer }), completions });
  assert.deepEqual(
    functions.map(({ values }) => values),
    [
      [1, 1, null, 0],
      [3, 1, 5, 9],
      [9, 3, 9, 17],
      [1, 0.5, 0.75, 0],
    ],
  );
});
