/** A group of real processes over Gloo: what its operations give, and what is said of ranks that are lost, late or wrong. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Running } from "../support/command.ts";
import { assertLost, endsOf, startPlans, withPlans } from "../support/rank-ends.ts";
import { freePort, placesOf, startRankPrograms } from "../support/rank-processes.ts";

/** The limit of tests in which nothing may wait for it, in seconds. */
const never = 600;

// they wait for processes most of the time
suite("ranks", { concurrency: 3 }, () => {
  for (const size of [2, 3]) {
    test(`${size} ranks: each operation in each type, empty, odd and large, at once and in parts of the group`, async () => {
      const ranks = await startPlans(Array(size).fill({ does: "operations" }));
      const ends = await endsOf(ranks);
      const facts = Array.from({ length: size }, (_, r) => [3000 * r, r, "NaN"]);
      for (const { status, last } of ends) {
        assert.equal(status, 0, JSON.stringify(last).slice(0, 500));
        assert.deepEqual(last["facts"], facts);
        const record = last["record"] as string[];
        // of one type and size: the first is of 0 numbers, and noted although it sends nothing
        assert.equal(record[0], "allGather parts 0");
        assert.ok(record.includes(`allGather parts ${4 * size * 100_003}`));
        if (size === 2)
          assert.deepEqual(record, ends[0]?.last["record"], "the same collectives on all ranks");
      }
    });
  }

  for (const [signal, victim, limit, message] of [
    ["SIGKILL", 1, never, / is gone, its process has ended; last at step \d+, forward/],
    [
      "SIGKILL",
      0,
      never,
      /, whose store the ranks meet in, at 127\.0\.0\.1:\d+ cannot be reached .*; last at step/,
    ],
    ["SIGSTOP", 2, 4, / gave no sign of life for \d+ s; last at step \d+, forward/],
    [
      "SIGSTOP",
      0,
      4,
      /, whose store .* cannot be reached from here \(.*\): no answer for \d+ s; last at step/,
    ],
  ] as const) {
    test(`${signal} of rank ${victim}: both others end and name it, its process and its step`, async () => {
      const ranks = await startPlans(Array(3).fill({ does: "steps", limit }));
      await Promise.all(ranks.map((rank) => rank.saw("running")));
      const { child } = ranks[victim] as Running;
      child.kill(signal);
      const named = new RegExp(`^rank ${victim} \\(host \\S+, pid ${child.pid}\\)${message.source}`);
      await assertLost(
        ranks.filter((_, r) => r !== victim),
        named,
      );
      child.kill("SIGKILL");
    });
  }

  test("a rank that ends without a word is named long before the limit; one that dies before it has connected, by the limit", async () => {
    const exited = await startPlans([
      { does: "steps", limit: never },
      { does: "exit", limit: never },
    ]);
    await assertLost(exited.slice(0, 1), /^rank 1 \(.*\) is gone, its process has ended; last at step/);
    const plan = { does: "wait", limit: 4 } as const;
    const met = await startPlans([plan, { does: "only meet" }, plan]);
    await assertLost([met[0] as Running, met[2] as Running], /^rank 1 gave no sign of life for \d+ s\. /);
  });

  test("a rank that fails says why; one that leaves while others wait is named; none hangs with a collective under way", async () => {
    for (const [does, message] of [
      ["fail", /^rank 1 \(.*\): a row is wrong$/],
      ["leave", /^rank 1 \(.*\) has left while others wait for it; last at step 3, evaluating/],
      ["leave open", /^rank 1 \(.*\) has left while others wait for it/],
    ] as const) {
      const ranks = await startPlans([
        { does: "wait", limit: never },
        { does, limit: never },
        { does: "wait", limit: never },
      ]);
      await assertLost([ranks[0] as Running, ranks[2] as Running], message);
      const [own] = await endsOf(ranks.slice(1, 2));
      assert.equal(own?.status, does === "leave" ? 0 : 1);
    }
  });

  test("an operation that cannot begin any more, as another rank is lost, says which", async () => {
    const ranks = await startPlans([
      { does: "begin later", limit: never },
      { does: "fail", limit: never },
    ]);
    await assertLost(ranks.slice(0, 1), /^rank 1 \(.*\): a row is wrong$/);
    await endsOf(ranks.slice(1));
  });

  test("rank 0, which has the store, leaves while another waits in a collective: that one says so and ends", async () => {
    const ranks = await startPlans([
      { does: "leave", limit: never },
      { does: "wait", limit: never },
    ]);
    await assertLost(ranks.slice(1), /^rank 0 \(.*\) has left while others wait for it/);
    const [own] = await endsOf(ranks.slice(0, 1));
    assert.equal(own?.status, 0);
  });

  test("a rank that is busy for three times the limit, all stopped for as long, a rank that comes late: nobody is lost", async () => {
    const limit = 4;
    const places = withPlans(placesOf(3, await freePort()), Array(3).fill({ does: "stall", limit }));
    const early = startRankPrograms("rank-child.ts", places.slice(0, 2));
    await Promise.all(early.map((rank) => rank.saw("looks for the others")));
    await sleep(1000 * limit);
    const ranks = [...early, ...startRankPrograms("rank-child.ts", places.slice(2))];
    for (const { status, last } of await endsOf(ranks)) assert.deepEqual([status, last], [0, [0, 1, 2]]);

    const stopped = await startPlans(Array(2).fill({ does: "steps", limit }));
    await Promise.all(stopped.map((rank) => rank.saw("running")));
    for (const { child } of stopped) child.kill("SIGSTOP");
    await sleep(2500 * limit);
    for (const { child } of stopped) child.kill("SIGCONT");
    // one that is lost ends before
    await Promise.all(stopped.map((rank) => rank.saw("step 500\n")));
    for (const { child } of stopped) child.kill("SIGKILL");
  });

  test("a rank that does not come is named; so is one that is there twice", async () => {
    const [zero, one] = placesOf(3, await freePort());
    const twins = startRankPrograms(
      "rank-child.ts",
      withPlans([one ?? {}, one ?? {}], Array(2).fill({ does: "operations" })),
    );
    // they look for the store by now: what is short is the time in which the third rank has to come
    await Promise.all(twins.map((rank) => rank.saw("looks for the others")));
    const first = startRankPrograms(
      "rank-child.ts",
      withPlans([zero ?? {}], [{ does: "operations", start: 8 }]),
    );
    const ends = await endsOf([...first, ...twins]);
    const messages = ends.map(({ status, last }) => [status, String(last.message)] as const);
    assert.equal(messages[0]?.[0], 2);
    assert.match(messages[0]?.[1] ?? "", /after 8 s 2 of 3 ranks have come; missing: 2\./);
    const twice = messages.filter(([, text]) => /^rank 1 is there twice: host .*pid \d+ and host/.test(text));
    assert.equal(twice.length, 1);
  });
});
