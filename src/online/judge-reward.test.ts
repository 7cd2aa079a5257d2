/** A judge as a reward: marks and pairs, faults of the endpoint, the budget, and that nothing is paid for twice. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  type ChatAnswer,
  type ChatCall,
  type JudgeServer,
  startJudge,
} from "../../test/support/judge-server.ts";
import type { RewardInput } from "../rewards/reward-function.ts";
import {
  JudgeBudgetError,
  type JudgeReward,
  type JudgeRewardSettings,
  openJudgeReward,
} from "./judge-reward.ts";

const folder = mkdtempSync(join(tmpdir(), "preftune-judge-reward-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let runs = 0;
const newRun = (): string => join(folder, `run-${runs++}`);

interface Judged extends AsyncDisposable {
  server: JudgeServer;
  open(dir: string, settings?: Partial<JudgeRewardSettings>): JudgeReward;
}

/** An endpoint on loopback, and judges that ask it. Each answer costs 100 tokens read and 10 written. */
async function judged(
  answer: (call: ChatCall, before: number) => ChatAnswer | Promise<ChatAnswer>,
): Promise<Judged> {
  const server = await startJudge(answer);
  const judge = { baseUrl: server.baseUrl, model: "m", apiKey: null, temperature: null, maxTokens: null };
  return {
    server,
    open: (dir, settings = {}) =>
      openJudgeReward({
        judge: { ...judge, retriesWithoutVerdict: 0, extra: {}, price: { prompt: 1000, completion: 10_000 } },
        limits: { maxRetries: 2 },
        concurrency: 3,
        dir,
        mode: "rating",
        budget: { requests: null, tokens: null, money: null },
        onBudgetSpent: "stop",
        ...settings,
      }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function inputOf(completions: readonly string[], step = 0): RewardInput {
  return {
    prompts: completions.map(() => "Say it."),
    completions,
    completion_ids: completions.map(() => [1]),
    columns: {},
    step,
  };
}

/** A mark that is the length of the answer; longer is better, too. */
const byLength = ({ text }: ChatCall): string => {
  const [first = "", second] = Array.from(
    text.matchAll(/<answer(?:_[AB])?>\n(.*)\n<\/answer/g),
    ([, answer = ""]) => answer,
  );
  if (second === undefined) return `Fine.\nRating: [[${first.length}]]`;
  return first.length === second.length ? "[[A=B]]" : first.length > second.length ? "[[A>>B]]" : "[[B>A]]";
};

async function valuesOf(judge: JudgeReward, input: RewardInput, groupSizes?: number[]) {
  const { functions } = await judge.score(input, groupSizes === undefined ? {} : { groupSizes });
  return functions[0]?.values;
}

test("each completion has its mark; one text is asked once, and never again in a resumed run", async () => {
  await using endpoint = await judged(byLength);
  const dir = newRun();
  {
    await using judge = endpoint.open(dir);
    assert.deepEqual(judge.names, ["judge"]);
    assert.deepEqual(await valuesOf(judge, inputOf(["aa", "bbbb", "aa", "c"])), [2, 4, 2, 1]);
    assert.equal(endpoint.server.calls.length, 3);
    assert.match(endpoint.server.calls[0]?.text ?? "", /<user>\nSay it\.\n<\/user>/);
  }
  await using again = endpoint.open(dir);
  assert.deepEqual(await valuesOf(again, inputOf(["aa", "bbbb", "dd"])), [2, 4, 2]);
  assert.equal(endpoint.server.calls.length, 4);
});

test("the judge reads the tools of a row, as a list or as the text that a file of columns has", async () => {
  await using endpoint = await judged(byLength);
  const schema = { type: "object", properties: { city: { type: "string" } } };
  const tool = { name: "weather", description: "The weather of a city.", parameters: schema };
  const tools = [[{ type: "function", function: tool }], JSON.stringify([tool]), null, []];
  for (const mode of ["rating", "pairs"] as const) {
    await using judge = endpoint.open(newRun(), { mode });
    const input = { ...inputOf(["a", "b", "c", "d"]), columns: { tools } };
    const first = endpoint.server.calls.length;
    await judge.score(input, { groupSizes: [1, 1, 1, 1] });
    const pair = { ...inputOf(["a", "bb"]), columns: { tools: [tools[0], tools[0]] } };
    await judge.score(pair, { groupSizes: [2] });
    const asked = endpoint.server.calls.slice(first).map(({ text }) => text);
    assert.ok(asked.length > 0);
    assert.match(
      asked.at(-1) ?? "",
      /Tools that the assistant can call:\n\nweather: The weather of a city\.\n\{"type":"object"/,
    );
    const without = asked.filter((text) => !text.includes("weather"));
    assert.equal(without.length, mode === "rating" ? 2 : 0);
    assert.ok(without.every((text) => !text.includes("Tools that")));
  }
});

test("a run resumed behind an evaluation counts what that cost: its budget is that of an uninterrupted one", async () => {
  await using endpoint = await judged(byLength);
  const dir = newRun();
  const budget = { budget: { requests: 5, tokens: null, money: null } };
  const evaluated = { groupSizes: [3], isHeldOut: true };
  {
    await using judge = endpoint.open(dir, budget);
    await judge.score(inputOf(["a", "bb", "ccc"]), evaluated);
    await assert.rejects(judge.score(inputOf(["d", "ee", "fff"])), { name: JudgeBudgetError.name });
  }
  await using resumed = endpoint.open(dir, budget);
  await assert.rejects(resumed.score(inputOf(["d", "ee", "fff"])), { name: JudgeBudgetError.name });
  assert.equal(endpoint.server.calls.length, 3);
});

test("a rollout that is scored ahead counts no evaluation that may be scored before or after it", async () => {
  await using endpoint = await judged(byLength);
  const ahead = { budget: { requests: 7, tokens: null, money: null }, max_staleness: 3 } as const;
  const decided = async (texts: readonly string[], dir: string) => {
    await using judge = endpoint.open(dir, { ...ahead, onBudgetSpent: "continue" });
    const of: Record<string, () => Promise<unknown>> = {
      // after 4 and 3 steps; the rollout was asked for after 3
      late: () => judge.score(inputOf(["a", "bb", "ccc"], 4), { groupSizes: [3], isHeldOut: true }),
      early: () => judge.score(inputOf(["dd", "e"], 3), { groupSizes: [2], isHeldOut: true }),
      rollout: () => valuesOf(judge, inputOf(["f", "gg", "hhh"], 6)),
    };
    let values: unknown = null;
    for (const name of texts) {
      const got = await of[name]?.();
      if (name === "rollout") values = got;
    }
    return values;
  };
  const dir = newRun();
  assert.deepEqual(await decided(["early", "rollout", "late"], dir), [1, 2, 3]);
  // a resumed run, to which all of them are known, and one whose evaluation came first
  assert.deepEqual(await decided(["rollout"], dir), [1, 2, 3]);
  assert.deepEqual(await decided(["early", "late", "rollout"], newRun()), [1, 2, 3]);
});

test("pairs are judged in both orders within their group; equal texts are a tie that is not asked", async () => {
  await using endpoint = await judged(byLength);
  await using judge = endpoint.open(newRun(), { mode: "pairs" });
  const values = await valuesOf(judge, inputOf(["a", "bb", "ccc", "x", "x", "lone"]), [3, 2, 1]);
  assert.deepEqual(values, [0, 0.5, 1, 0.5, 0.5, null]);
  assert.equal(endpoint.server.calls.length, 6);
});

test("a judge that always prefers what is shown first finds nothing better", async () => {
  await using endpoint = await judged(() => "[[A>B]]");
  await using judge = endpoint.open(newRun(), { mode: "pairs" });
  assert.deepEqual(await valuesOf(judge, inputOf(["a", "bb", "ccc"])), [0.5, 0.5, 0.5]);
});

test("a pair with a verdict in one order alone does not count, and is counted; above reward_max_failures it stops the run", async () => {
  // prefers what is shown first, and has nothing to say where "ccc" is
  await using endpoint = await judged(({ text }) =>
    /<answer_A>\nccc/.test(text) ? "Both say something." : "[[A>B]]",
  );
  await using judge = endpoint.open(newRun(), { mode: "pairs" });
  const { functions } = await judge.score(inputOf(["a", "bb", "ccc"]));
  assert.deepEqual(functions[0]?.values, [0.5, 0.5, null]);
  assert.deepEqual(functions[0]?.unscored, [
    { completion: 2, reason: "error", message: "Both say something." },
  ]);
  assert.deepEqual(functions[0]?.noVerdict, {
    count: 2,
    such: 'completion 3 of 3, which is "ccc", shown before completion 1, but: "Both say something."',
  });
  await using strict = endpoint.open(newRun(), { mode: "pairs", reward_max_failures: 0.3 });
  await assert.rejects(strict.score(inputOf(["a", "bb", "ccc"])), {
    name: "RewardError",
    message: /^the judge m gave no verdict on 2 of 6 comparisons \(reward_max_failures: 0\.3\), such as /,
  });
});

test("429 and 500 are tried again; garbage and refusals leave one completion without a score", async () => {
  const faults: ChatAnswer[] = [{ status: 429, headers: { "retry-after-ms": "1" } }, { status: 500 }];
  await using endpoint = await judged((call, before) => {
    if (call.text.includes("garbage")) return "I cannot say [[11]]";
    if (call.text.includes("refuse")) return { status: 413 };
    return faults[before] ?? byLength(call);
  });
  await using judge = endpoint.open(newRun(), { concurrency: 1 });
  const { functions } = await judge.score(inputOf(["aaa", "garbage", "bb", "refuse", "c"]));
  assert.deepEqual(functions[0]?.values, [3, null, 2, null, 1]);
  assert.equal(functions[0]?.retries, 2);
  assert.deepEqual(
    functions[0]?.unscored.map(({ completion, reason, message }) => [
      completion,
      reason,
      message.slice(0, 14),
    ]),
    [
      [1, "error", "I cannot say ["],
      [3, "error", endpoint.server.baseUrl.slice(0, 14)],
    ],
  );
  const origins = ["rows.jsonl:5", "rows.jsonl:7", "rows.jsonl:7"];
  await assert.rejects(judge.score(inputOf(["a", "garbage", "garbage 2"]), { origins }), {
    name: "RewardError",
    message:
      /^the judge m gave no verdict on 2 of 3 completions .*such as completion 2 of 3 \(rows\.jsonl:7\), which is "garbage", but: "I cannot say.* Choose a judge that follows its prompt\.$/,
  });
  await using strict = await judged(() => ({
    status: 400,
    body: JSON.stringify({ error: { message: "Unsupported parameter: 'max_tokens'" } }),
  }));
  await using none = strict.open(newRun());
  await assert.rejects(none.score(inputOf(["a", "b"])), {
    name: "RewardError",
    message:
      /gave no verdict on 2 of 2 .* The first refusal: http.* by judge\.extra; reasoning models may want/,
  });
});

test("a slow judge is asked again; one that never answers stops the run, and what is judged already is kept", async (t) => {
  let asked = 0;
  let never = true;
  // the time for an answer is over when the endpoint has the question and does not answer
  let wait = new AbortController();
  t.mock.method(AbortSignal, "timeout", () => {
    wait = new AbortController();
    return wait.signal;
  });
  const noAnswer = (): ChatAnswer => {
    wait.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    return "no answer";
  };
  await using endpoint = await judged((call) => {
    if (call.text.includes("xx-never") && never) return noAnswer();
    return call.text.includes("xx-late") && asked++ === 0 ? noAnswer() : byLength(call);
  });
  const dir = newRun();
  const limits = { maxRetries: 1, timeoutMs: 1500 };
  {
    await using judge = endpoint.open(dir, { limits, concurrency: 1 });
    const { functions } = await judge.score(inputOf(["aaa", "xx-late"]));
    assert.deepEqual([functions[0]?.values, functions[0]?.retries], [[3, 7], 1]);
    await assert.rejects(judge.score(inputOf(["bb", "xx-never"])), {
      name: "EndpointError",
      message: /no answer within 1\.5 s after 2 tries\. Check that it runs/,
    });
  }
  never = false;
  const calls = endpoint.server.calls.length;
  await using judge = endpoint.open(dir);
  assert.deepEqual(await valuesOf(judge, inputOf(["aaa", "xx-late", "bb", "xx-never"])), [3, 7, 2, 8]);
  assert.equal(endpoint.server.calls.length, calls + 1);
});

test("a judge that refuses everything stops the run", async () => {
  await using endpoint = await judged(() => ({ status: 401 }));
  await using judge = endpoint.open(newRun());
  await assert.rejects(judge.score(inputOf(["a", "b"])), { name: "EndpointError", message: /Check the key/ });
});

test("a budget that does not suffice stops the run before it is overspent, or leaves completions without a score", async () => {
  await using endpoint = await judged(byLength);
  const limited = { budget: { requests: 5, tokens: null, money: null } };
  const dir = newRun();
  {
    await using judge = endpoint.open(dir, limited);
    await judge.score(inputOf(["a", "bb", "ccc"], 0));
    await assert.rejects(judge.score(inputOf(["d", "ee", "fff"], 1)), (error: Error) => {
      assert.ok(error instanceof JudgeBudgetError);
      assert.match(
        error.message,
        /\(requests: 3 of 5 spent, 3 judgments more to ask for\)\. Raise it and resume/,
      );
      return true;
    });
  }
  // a judge that resumes decides alike at each step, whatever it is asked again
  await using going = endpoint.open(dir, { ...limited, onBudgetSpent: "continue" });
  assert.deepEqual(await valuesOf(going, inputOf(["a", "bb", "ccc"], 0)), [1, 2, 3]);
  assert.deepEqual(await valuesOf(going, inputOf(["d", "ee", "fff"], 1)), [null, null, null]);
  assert.deepEqual(await valuesOf(going, inputOf(["d", "ee"], 2)), [1, 2]);
  assert.equal(endpoint.server.calls.length, 5);
});

test("tokens and money are limited by what judgments cost so far", async () => {
  await using endpoint = await judged(byLength);
  // a judgment: 110 tokens, 0.1 + 0.1
  for (const budget of [
    { requests: null, tokens: 500, money: null },
    { requests: null, tokens: null, money: 0.9 },
  ]) {
    await using judge = endpoint.open(newRun(), { budget, onBudgetSpent: "continue" });
    assert.deepEqual(await valuesOf(judge, inputOf(["a", "bb"], 0)), [1, 2]);
    assert.deepEqual(await valuesOf(judge, inputOf(["ccc", "dddd"], 1)), [3, 4]);
    assert.deepEqual(await valuesOf(judge, inputOf(["e", "ff"], 2)), [null, null]);
  }
  await using silent = await judged(() => ({ text: "[[3]]", usage: null }));
  await using judge = silent.open(newRun(), { budget: { requests: null, tokens: 1000, money: null } });
  await judge.score(inputOf(["a"], 0));
  await assert.rejects(judge.score(inputOf(["b"], 1)), /does not count tokens\. Limit requests/);
});

test("an abort ends scoring; what was under way is kept and not asked again", async () => {
  const stop = new AbortController();
  const held = Promise.withResolvers<void>();
  await using endpoint = await judged(async (call) => {
    stop.abort(new Error("enough"));
    await held.promise;
    return byLength(call);
  });
  const dir = newRun();
  {
    await using judge = endpoint.open(dir, { concurrency: 1 });
    await assert.rejects(judge.score(inputOf(["aa", "b"]), { signal: stop.signal }), /enough/);
    held.resolve();
  }
  await using again = endpoint.open(dir);
  assert.deepEqual(await valuesOf(again, inputOf(["aa"])), [2]);
  assert.equal(endpoint.server.calls.length, 1);
});
