/** Tests of judge.ts and judgment-store.ts: nothing is asked twice, nothing is guessed. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { type ChatAnswer, type ChatCall, startJudge } from "../../../test/support/judge-server.ts";
import { EndpointError, FileError } from "../../base/errors.ts";
import type { ChatMessage } from "../endpoint/chat-body.ts";
import { Endpoint } from "../endpoint/endpoint.ts";
import { Judge } from "./judge.ts";
import { openJudging } from "./judging.ts";
import { JudgmentStore } from "./judgment-store.ts";
import { readRating } from "./verdicts.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-judge-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let files = 0;

const ask = (content: string): ChatMessage[] => [{ role: "user", content }];

const judged = (verdict: number) => ({ verdict, reason: null, text: `[[${verdict}]]` });

/** A judge on loopback with a file of its own, or the one given. */
async function judging(
  answer: (call: ChatCall, before: number) => ChatAnswer,
  options: { path?: string; model?: string; retries?: number; temperature?: number; extra?: object } = {},
) {
  const server = await startJudge(answer);
  const path = options.path ?? join(dir, `judgments-${files++}.sqlite`);
  const store = new JudgmentStore(path);
  const judge = new Judge({
    endpoint: new Endpoint({
      baseUrl: server.baseUrl,
      model: options.model ?? "m",
      maxRetries: 0,
      extra: { ...options.extra },
    }),
    store,
    temperature: options.temperature ?? 0,
    maxTokens: 10,
    retriesWithoutVerdict: options.retries ?? 0,
    optionNames: { extra: "extra", maxTokens: "maxTokens" },
  });
  const close = async (): Promise<void> => {
    store.close();
    await server[Symbol.asyncDispose]();
  };
  return { judge, server, path, [Symbol.asyncDispose]: close };
}

test("what was judged is not asked again, in the same run or another; what differs is", async () => {
  await using first = await judging(() => "[[7]]");
  assert.deepEqual(await first.judge.verdict(ask("a"), readRating), judged(7));
  assert.deepEqual(await first.judge.verdict(ask("a"), readRating), judged(7));
  assert.deepEqual(await first.judge.verdict(ask("b"), readRating), judged(7));
  assert.equal(first.server.calls.length, 2);
  const { judgments, cached, spent } = first.judge.counts;
  assert.deepEqual([judgments, cached, spent.requests, spent.promptTokens], [3, 1, 2, 200]);

  const { path } = first;
  await using again = await judging(() => "[[1]]", { path });
  assert.deepEqual(await again.judge.verdict(ask("a"), readRating), judged(7));
  assert.equal(again.server.calls.length, 0);
  for (const change of [{ model: "other" }, { temperature: 0.5 }, { extra: { seed: 1 } }]) {
    await using other = await judging(() => "[[1]]", { path, ...change });
    assert.deepEqual(await other.judge.verdict(ask("a"), readRating), judged(1));
    assert.equal(other.server.calls.length, 1, JSON.stringify(change));
  }
});

test("the same question at once is asked once", async () => {
  await using only = await judging(() => ({ text: "[[3]]", delayMs: 20 }));
  const verdicts = await Promise.all([1, 2, 3].map(() => only.judge.verdict(ask("same"), readRating)));
  assert.deepEqual(verdicts, [judged(3), judged(3), judged(3)]);
  assert.equal(only.server.calls.length, 1);
});

test("an answer without a verdict is counted; it is asked again so often as is allowed, once for all", async () => {
  await using none = await judging(() => "no idea");
  assert.deepEqual(await none.judge.verdict(ask("a"), readRating), {
    verdict: null,
    reason: "unparsable",
    text: "no idea",
  });
  assert.equal(none.judge.counts.firstUnparsable, "no idea");
  assert.equal(none.judge.counts.unparsable, 1);
  assert.equal(none.server.calls.length, 1);

  const { path } = none;
  const answers = ["still none", "[[9]]"];
  await using more = await judging((_, before) => answers[before] ?? "", { path, retries: 2 });
  assert.deepEqual(await more.judge.verdict(ask("a"), readRating), judged(9));
  assert.equal(more.server.calls.length, 2, "the first answer is known from before");
  assert.deepEqual([more.judge.counts.askedAgain, more.judge.counts.unparsable], [2, 0]);

  await using known = await judging(() => "[[1]]", { path, retries: 2 });
  assert.deepEqual(await known.judge.verdict(ask("a"), readRating), judged(9));
  assert.equal(known.server.calls.length, 0);
});

test("answers cut at the limit of tokens are counted", async () => {
  await using cut = await judging(() => ({ text: "so far", finishReason: "length" }));
  await cut.judge.verdict(ask("a"), readRating);
  assert.deepEqual([cut.judge.counts.cut, cut.judge.counts.unparsable], [1, 1]);
});

test("a request that is refused as such has no verdict; when all are, judging ends", async () => {
  const refuse = (text: string): ChatAnswer =>
    text.includes("long")
      ? { status: 400, body: JSON.stringify({ error: { message: "too long for us." } }) }
      : "[[5]]";
  await using some = await judging(({ text }) => refuse(text));
  for (let i = 0; i < 3; i++) {
    const { verdict, reason, text } = await some.judge.verdict(ask(`long ${i}`), readRating);
    assert.deepEqual([verdict, reason], [null, "refused"]);
    assert.match(text, /got status 400: too long for us\. Check the model's name/, "one full stop, not two");
  }
  assert.deepEqual(await some.judge.verdict(ask("short"), readRating), judged(5));
  assert.equal(some.judge.counts.refused, 3);
  assert.match(some.judge.counts.firstRefusal ?? "", /too long for us\./);

  await using all = await judging(() => ({ status: 422 }));
  await assert.rejects(async () => {
    for (let i = 0; i < 9; i++) await all.judge.verdict(ask(`${i}`), readRating);
  }, EndpointError);
  assert.equal(all.server.calls.length, 5);

  // what was judged before is asked again, to know whether all are refused
  await using spent = await judging(() => ({ status: 400 }), { path: some.path });
  assert.deepEqual(await spent.judge.verdict(ask("short"), readRating), judged(5));
  await assert.rejects(async () => {
    for (let i = 0; i < 9; i++) await spent.judge.verdict(ask(`${i}`), readRating);
  }, /EndpointError: .* It refuses what it answered before/);
  assert.deepEqual(
    spent.server.calls.map(({ text }) => text),
    ["0", "1", "2", "3", "4", "short"],
  );
});

test("a judge that cannot be used ends judging at once, and what it said before is kept", async () => {
  await using gone = await judging((_, before) => (before === 0 ? "[[2]]" : { status: 401 }));
  await gone.judge.verdict(ask("a"), readRating);
  await assert.rejects(gone.judge.verdict(ask("b"), readRating), /status 401/);
  await using again = await judging(() => "[[8]]", { path: gone.path });
  assert.deepEqual(await again.judge.verdict(ask("a"), readRating), judged(2));
  assert.deepEqual(await again.judge.verdict(ask("b"), readRating), judged(8));
});

test("a file that is no database, and a place that cannot be written, are named", () => {
  const path = join(dir, "not.sqlite");
  writeFileSync(path, "this is a text of a hundred bytes that is no database at all".repeat(20));
  const says = (words: RegExp) => (error: unknown) => error instanceof FileError && words.test(error.message);
  assert.throws(
    () => new JudgmentStore(path),
    says(/not\.sqlite: expected to keep judgments .* It is damaged: move it away/),
  );
  const renamed = join(dir, "renamed.sqlite");
  new JudgmentStore(renamed).close();
  {
    using database = new DatabaseSync(renamed);
    database.exec("ALTER TABLE judgments RENAME COLUMN text TO texu");
  }
  assert.throws(
    () => new JudgmentStore(renamed),
    says(/renamed\.sqlite: .* no such column: text\. It is damaged: move it away/),
  );
  writeFileSync(join(dir, "file"), "");
  assert.throws(
    () => new JudgmentStore(join(dir, "file", "x.sqlite")),
    says(/Cannot make directory .*file: /),
  );
});

test("an answer of which a byte has changed is asked for again, with a note, and kept in its place", async () => {
  const notes: string[] = [];
  const listen = ({ message }: Error) => void notes.push(message);
  process.on("warning", listen);
  try {
    const path = join(dir, "changed.sqlite");
    {
      await using first = await judging((_, before) => (before === 0 ? "Rating: [[7]]" : "Rating: [[3]]"), {
        path,
      });
      await first.judge.verdict(ask("a"), readRating);
      await first.judge.verdict(ask("b"), readRating);
    }
    const bytes = readFileSync(path);
    bytes[bytes.indexOf("[[7]]") + 2] = 0x31;
    writeFileSync(path, bytes);
    for (const calls of [1, 0]) {
      await using again = await judging(() => "Rating: [[8]]", { path });
      assert.equal((await again.judge.verdict(ask("a"), readRating)).verdict, 8);
      assert.equal((await again.judge.verdict(ask("b"), readRating)).verdict, 3);
      assert.equal(again.server.calls.length, calls);
    }
    await new Promise(setImmediate);
    assert.deepEqual(notes, [
      `${path}: judgments have changed since they were written (SHA-256): they are asked for again`,
    ]);
  } finally {
    process.off("warning", listen);
  }
});

test("a count of tokens that has changed is noticed too", () => {
  const path = join(dir, "counts.sqlite");
  const label = { model: "m", messages: "[]" };
  const reply = { text: "x", finishReason: "stop", usage: { promptTokens: 70_000, completionTokens: 2 } };
  {
    using store = new JudgmentStore(path);
    store.put("k", label, reply);
    assert.deepEqual(store.get("k"), reply);
  }
  using database = new DatabaseSync(path);
  database.exec("UPDATE judgments SET prompt_tokens = 70001");
  using store = new JudgmentStore(path);
  assert.equal(store.get("k"), null);
  assert.equal(store.costBefore(1, { modulo: 1, below: 0, others: 0 }).judgments, 0);
  store.put("k", label, reply);
  assert.deepEqual(store.get("k"), reply);
});

test("when answers were used is counted as it was written; where it has changed they count from the start", () => {
  const path = join(dir, "uses.sqlite");
  const spent = (moment: number): number => {
    using store = new JudgmentStore(path);
    return store.costBefore(moment, { modulo: 1, below: 0, others: 0 }).judgments;
  };
  {
    using store = new JudgmentStore(path);
    const reply = { text: "x", finishReason: "stop", usage: null };
    for (const key of ["a", "b", "c"]) store.put(key, { model: "m", messages: "[]" }, reply);
    store.noteUses(["a", "b", "c"], 7);
    store.noteUses(["a"], 5);
    store.noteUses(["b"], 9);
  }
  assert.deepEqual([5, 6, 8].map(spent), [0, 1, 3]);
  using database = new DatabaseSync(path);
  database.exec("UPDATE uses SET moment = 700 WHERE key = 'c'");
  assert.deepEqual([1, 6, 8].map(spent), [1, 2, 3]);
  database.exec("UPDATE uses SET key = 'd' WHERE key = 'a'");
  assert.deepEqual([1, 8].map(spent), [2, 3]);
});

test("texts that SQLite or UTF-8 may change are as they were", () => {
  const path = join(dir, "texts.sqlite");
  for (const text of ["", "a\u0000b", "half \ud83d", "\ufeffmark", "e\u0301 語 😀"]) {
    {
      using store = new JudgmentStore(path);
      store.put(text, { model: "m", messages: "[]" }, { text, finishReason: null, usage: null });
    }
    using store = new JudgmentStore(path);
    assert.equal(store.get(text)?.text, text.toWellFormed(), JSON.stringify(text));
  }
});

test("the file of an earlier version is read and gets its digests; one that is lost afterwards is noticed", () => {
  const path = join(dir, "earlier.sqlite");
  {
    using database = new DatabaseSync(path);
    database.exec(`CREATE TABLE judgments (
      key TEXT PRIMARY KEY, model TEXT NOT NULL, messages TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT,
      prompt_tokens INTEGER, completion_tokens INTEGER, time TEXT NOT NULL) STRICT;
      CREATE TABLE uses (key TEXT PRIMARY KEY, moment INTEGER NOT NULL) STRICT;
      INSERT INTO judgments VALUES ('old', 'm', '[]', '[[5]]', 'stop', 1, 2, '2026-01-01T00:00:00Z');
      INSERT INTO uses VALUES ('old', 3)`);
  }
  for (const _ of [1, 2]) {
    using store = new JudgmentStore(path);
    const usage = { promptTokens: 1, completionTokens: 2 };
    assert.deepEqual(store.get("old"), { text: "[[5]]", finishReason: "stop", usage });
    store.put("new", { model: "m", messages: "[]" }, { text: "[[6]]", finishReason: null, usage: null });
    assert.equal(store.get("new")?.text, "[[6]]");
    const cost = (moment: number) => store.costBefore(moment, { modulo: 1, below: 0, others: 0 }).judgments;
    assert.deepEqual([3, 4].map(cost), [0, 1]);
  }
  using database = new DatabaseSync(path);
  assert.deepEqual(
    database
      .prepare("SELECT key, length(sha256) AS digits FROM judgments ORDER BY key")
      .all()
      .map((row) => ({ ...row })),
    [
      { key: "new", digits: 64 },
      { key: "old", digits: 64 },
    ],
  );
  database.exec("UPDATE judgments SET sha256 = NULL, text = '[[1]]' WHERE key = 'old'");
  using store = new JudgmentStore(path);
  assert.equal(store.get("old"), null);
});

test("judging at one place is done by one command at a time: a second would pay for the same again", () => {
  const settings = {
    judge: {
      ...{ baseUrl: "http://127.0.0.1:9/v1", model: "m", apiKey: null, temperature: null, maxTokens: null },
      ...{ retriesWithoutVerdict: 0, extra: {}, price: null },
    },
    ...{ limits: {}, concurrency: 1, dir: join(dir, "held") },
  };
  const first = openJudging(settings);
  assert.throws(
    () => openJudging(settings),
    /judgments\.lock: the output is being written by process \d+, .* choose another --output\./,
  );
  first[Symbol.dispose]();
  using _ = openJudging(settings);
});
