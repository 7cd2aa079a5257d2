/** A judge of a workbench: both orders, its bias, where people are of another mind, and that people go before it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { startJudge } from "../../test/support/judge-server.ts";
import { scratch } from "../../test/support/scratch.ts";
import { exportLabels } from "../workbench/export-labels.ts";
import { judgeFacts } from "../workbench/judges.ts";
import { castVote, nextPair } from "../workbench/labelling.ts";
import { makeWorkbench } from "../workbench/workbench-dir.ts";
import { type JudgeLabelsOptions, judgeLabels } from "./judge-labels.ts";

const dir = mkdtempSync(join(scratch(), "preftune-judge-"));
after(() => rmSync(dir, { recursive: true, force: true }));

function judgedBy(baseUrl: string, place: string): Omit<JudgeLabelsOptions, "limit"> {
  return {
    judge: {
      ...{ baseUrl, model: "m", apiKey: null, temperature: null, maxTokens: null },
      ...{ retriesWithoutVerdict: 0, extra: {}, price: null },
    },
    limits: { timeoutMs: 60_000, maxRetries: 0, requestsPerMinute: null, tokensPerMinute: null },
    ...{ concurrency: 4, dir: place },
  };
}

test("a judge with a planted bias for the first place on every other pair; people go before it, and part from it", async () => {
  // sees the blue answer, but of pairs with an even number takes the one shown first
  await using server = await startJudge(({ text }) => {
    const isEven = Number(/Question (\d+)/.exec(text)?.[1]) % 2 === 0;
    const isFirstBlue = text.indexOf("blue") < text.indexOf("grey");
    return isEven || isFirstBlue ? "[[A>B]]" : "[[B>A]]";
  });
  using store = makeWorkbench(dir);
  store.add(
    Array.from({ length: 10 }, (_, i) => ({
      prompt: [{ role: "user" as const, content: `Question ${i}?` }],
      answers: [
        [{ role: "assistant" as const, content: `grey ${i}` }],
        [{ role: "assistant" as const, content: `blue ${i}` }],
      ],
      models: ["one", "two"],
      votes: [],
      extra: {},
    })),
  );
  const options = judgedBy(server.baseUrl, dir);
  const some = await judgeLabels(store, { ...options, limit: 4 });
  assert.deepEqual([some.kept, some.without, server.calls.length], [4, 0, 8]);
  const all = await judgeLabels(store, { ...options, limit: null });
  assert.deepEqual([all.kept, server.calls.length], [6, 20]);
  const [facts] = judgeFacts(store);
  assert.deepEqual([facts?.judge, facts?.verdicts, facts?.changed.share], ["m (judge)", 10, 0.5]);
  // of 20 verdicts the first place won all 10 of the even pairs, and 5 of the others
  assert.equal(facts?.first.share, 0.75);

  // one person says that grey is better than blue, of three pairs
  store.addPerson("ann", "person");
  for (let i = 0; i < 3; i++) {
    const pair = nextPair(store, "ann", { chance: () => 1 });
    const verdict = JSON.stringify(pair?.left).includes("grey") ? "left" : "right";
    castVote(store, "ann", { showing: pair?.showing ?? "", key: "k", verdict });
  }
  assert.equal(judgeFacts(store)[0]?.partings.length, 3);
  const { counts, rows } = exportLabels(store);
  const ofPeople = rows.filter((row) => JSON.stringify(row["chosen"]).includes("grey"));
  assert.equal(ofPeople.length, 3);
  assert.equal(counts.byJudge, counts.used - 3);
  assert.equal(counts.items, counts.used + counts.ties);
});

test("the judge reads tools, their calls and results, thinking, and variables of the template", async () => {
  await using server = await startJudge(() => "[[A>B]]");
  const place = join(dir, "tools");
  using store = makeWorkbench(place);
  const call = (city: string) => ({
    ...{ role: "assistant" as const, content: "" },
    tool_calls: [{ type: "function", function: { name: "weather", arguments: { city } } }],
  });
  store.add([
    {
      prompt: [
        { role: "user", content: "Which is warmer?" },
        call("Rome"),
        { role: "tool", content: "31 degrees", tool_call_id: "1" },
      ],
      answers: [[call("Oslo")], [{ ...call("Paris"), reasoning_content: "Paris is next." }]],
      ...{ models: [null, null], votes: [] },
      extra: {
        tools: [{ type: "function", function: { name: "weather", description: "Of a city, now." } }],
        chat_template_kwargs: { date: "1 May" },
        topic: "not for the judge",
      },
    },
  ]);
  await judgeLabels(store, { ...judgedBy(server.baseUrl, place), limit: null });
  const calls = (city: string) =>
    `[{"type":"function","function":{"name":"weather","arguments":{"city":"${city}"}}}]`;
  assert.equal(server.calls.length, 2);
  for (const { text } of server.calls) {
    assert.ok(
      text.includes(
        '<user>\n<tools>\nweather: Of a city, now.\n\nchat_template_kwargs: {"date":"1 May"}\n</tools>\n\nuser: Which',
      ),
      text,
    );
    assert.ok(!text.includes("not for the judge"));
    assert.ok(
      text.includes(`user: Which is warmer?\n\nassistant: ${calls("Rome")}\n\ntool: 31 degrees\n</user>`),
      text,
    );
    assert.match(text, /<answer_[AB]>\n\[\{.*"Oslo".*\n<\/answer_[AB]>/);
    assert.ok(text.includes(`>\nParis is next.\n${calls("Paris")}\n</answer`), text);
  }
});
