/** Ranks that start as a run does: what they compare, and what all are told when one fails. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import type { Running } from "../support/command.ts";
import { allEnded, freePort, placesOf, startRankPrograms } from "../support/rank-processes.ts";
import { scratch } from "../support/scratch.ts";
import type { StartPlan } from "../support/start-child.ts";

const dir = mkdtempSync(join(scratch(), "preftune-start-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const values = {
  objective: "simpo",
  model_name_or_path: join(dir, "model"),
  train_data: join(dir, "train.jsonl"),
  output_dir: join(dir, "run"),
  device: "cpu",
};

interface RankEnd {
  status: number | null;
  stderr: string;
  last: Record<string, unknown> & { name?: string; message?: string };
}

/** Starts a rank for each plan; the last of `size` may be missing. */
async function startPlans(plans: StartPlan[], size = plans.length): Promise<Running[]> {
  const places = placesOf(size, await freePort());
  return startRankPrograms(
    "start-child.ts",
    plans.map((plan, rank) => ({ ...places[rank], PLAN: JSON.stringify(plan) })),
  );
}

/** Starts a rank for each plan and waits for all. */
async function ranksOf(plans: StartPlan[]): Promise<RankEnd[]> {
  const ends = await allEnded(await startPlans(plans));
  return ends.map(({ status, stdout, stderr }) => ({
    status,
    stderr,
    last: JSON.parse(stdout.trim().split("\n").at(-1) || "{}"),
  }));
}

// they wait for processes most of the time
suite("ranks", { concurrency: 3 }, () => {
  test("ranks that agree know each other, their host and their threads", async () => {
    const plan = { values, directory: dir, model: "a" };
    const ends = await ranksOf([plan, plan]);
    for (const { status, last, stderr } of ends) {
      assert.equal(status, 0, stderr);
      const threads = Math.max(1, Math.floor(availableParallelism() / 2));
      assert.deepEqual(last, {
        all: [0, 1],
        hosts: [[0, 1]],
        device: "cpu",
        threads,
        resume_from_checkpoint: null,
      });
      assert.equal(stderr, "");
    }
  });

  test("another configuration, plan, weights or directory on a rank is the same error on all, which names it", async () => {
    const other = join(dir, "elsewhere");
    mkdirSync(other);
    const both = { values };
    const two = /on rank 0 \(host \S+\), /.source;
    const cases: [StartPlan[], RegExp][] = [
      [
        [both, { values: { ...values, learning_rate: 0.5, beta: 3 } }, both],
        /^the ranks of this run differ:\n {2}beta: 2 on ranks 0 and 2 \(host \S+\), 3 on rank 1 \(host \S+\)\n {2}simpo_gamma: .*\n {2}learning_rate: .* 0\.5 on rank 1 .*\nStart all ranks with the same configuration/,
      ],
      [
        [
          { values, plan: { seed: 1, shard: "none" } },
          { values, plan: { seed: 2, shard: "all" } },
        ],
        new RegExp(
          `layout: shard: none, .* ${two}shard: all, .* on rank 1 .*\\n {2}rows of each step: .*\\n {2}division of each step among ranks: .*\\nStart all ranks with the same release`,
        ),
      ],
      [
        [
          { values, model: "abc", rows: "1" },
          { values, model: "abd", rows: "2" },
        ],
        new RegExp(
          `differ:\\n {2}weights and config\\.json of the model: abc ${two}abd on rank 1 .*\\n {2}rows: 1 ${two}2 on rank 1 .*\\nCopy the same files`,
        ),
      ],
      [
        [
          { values, directory: dir },
          { values, directory: other },
        ],
        /output_dir .* is not one directory: rank 0 \(host \S+\) did not see what rank 1 \(host \S+\) wrote; .*\n.*file system that all hosts share/,
      ],
      [
        [
          { values, directory: dir },
          { values, directory: join(dir, "nowhere") },
        ],
        /output_dir .* cannot be written: rank 1 \(host \S+\): ENOENT/,
      ],
    ];
    for (const [plans, expected] of cases) {
      const ends = await ranksOf(plans);
      for (const { status, stderr, last } of ends) {
        assert.equal(status, 2, `${stderr}${last.message}`);
        assert.match(String(last.message), expected);
      }
    }
  });

  test("a rank's error ends all of them: its own with it, the others with its sentence", async () => {
    for (const [fails, own, other, message] of [
      [
        "in work",
        { name: "RankFailure", status: 1 },
        { name: "RankFailure", status: 1 },
        /^rank 1 \(host \S+\): the disk is full$/,
      ],
      [
        "in a collective",
        { name: "TypeError", status: 1 },
        { name: "LostRankError", status: 8 },
        /^rank 1 \(host \S+, pid \d+\): a bug$/,
      ],
    ] as const) {
      const ends = await ranksOf([{ values }, { values, fails }, { values }]);
      for (const [rank, { status, stderr, last }] of ends.entries()) {
        assert.deepEqual({ name: last.name, status }, rank === 1 ? own : other);
        assert.equal(stderr, "", "nothing of torch's own");
        if (rank !== 1) assert.match(String(last.message), message);
      }
    }
  });

  test("a rank that is in uninterrupted work ends all the same once another has failed or is gone, and says why", async () => {
    const busy = { values, isBusyFor: 120 };
    const [one] = await allEnded(await startPlans([busy, { values, fails: "in a collective" }]));
    assert.equal(one?.status, 8);
    assert.match(one?.stderr ?? "", /^preftune: rank 1 \(host \S+, pid \d+\): a bug\n$/);
    const ranks = await startPlans([busy, busy, busy]);
    await Promise.all(ranks.map(({ saw }) => saw("busy")));
    ranks[1]?.child.kill("SIGKILL");
    const killed = performance.now();
    const ends = await allEnded(ranks);
    for (const { status, stderr } of [ends[0], ends[2]].filter((end) => end !== undefined)) {
      assert.equal(status, 8);
      assert.match(
        stderr,
        new RegExp(
          `^preftune: rank 1 \\(host \\S+, pid ${ranks[1]?.child.pid}\\) is gone, .*The run ends; resume it`,
        ),
      );
    }
    assert.ok(performance.now() - killed < 60_000, "long before the work is done");
  });

  test("a rank that leaves while another is gone ends as it would, however slowly", async () => {
    // who has not heard of it a second after it was noticed is ended: they leave within that, and end after it
    const slow: StartPlan = { values, leaves: 3000 };
    const [zero, , two] = await allEnded(await startPlans([slow, { values, fails: "at once" }, slow]));
    for (const end of [zero, two])
      assert.deepEqual({ status: end?.status, stderr: end?.stderr }, { status: 0, stderr: "" });
  });

  test("a signal at one rank before the first step ends all, which name it", async () => {
    const plan = { values, isHeardAfter: 3000 };
    const ranks = await startPlans([plan, plan]);
    await Promise.all(ranks.map(({ saw }) => saw("waits")));
    ranks[1]?.child.kill("SIGTERM");
    for (const { status, stdout, stderr } of await allEnded(ranks)) {
      assert.equal(status, 143);
      assert.match(
        stdout,
        /StoppedEarlyError.*rank 1 \(host \S+\) was asked to stop before a step was begun/,
      );
      assert.equal(stderr, "");
    }
  });

  test("ranks that wait for others stop when one of them is asked to", async () => {
    const ranks = await startPlans([{ values }, { values }], 3);
    await Promise.all(ranks.map(({ saw }) => saw("2 of 3 have come")));
    ranks[1]?.child.kill("SIGTERM");
    for (const { status, stdout } of await allEnded(ranks)) {
      assert.equal(status, 143);
      assert.match(stdout, /rank 1 \(host \S+\) was asked to stop before a step was begun/);
    }
  });

  test("ranks that were started as ones of different numbers say so", async () => {
    const [zero = {}, one = {}] = placesOf(2, await freePort());
    const places = [zero, { ...one, WORLD_SIZE: "3" }].map((place) => ({
      ...place,
      PLAN: JSON.stringify({ values }),
    }));
    for (const { status, stdout } of await allEnded(startRankPrograms("start-child.ts", places))) {
      assert.match(
        stdout,
        /rank 0 \(host .* pid \d+\) is one of 2 ranks, and rank 1 \(host .* pid \d+\) is one of 3 ranks: .* the same WORLD_SIZE/,
      );
      assert.equal(status, 2);
    }
  });

  test("rank 0 that hangs while ranks wait for others to come is named", async () => {
    const [zero, one] = await startPlans([{ values }, { values }], 3);
    await Promise.all([zero, one].map((rank) => rank?.saw("2 of 3 have come")));
    zero?.child.kill("SIGSTOP");
    const end = await one?.ended;
    zero?.child.kill("SIGKILL");
    assert.equal(end?.status, 8, end?.stdout);
    assert.match(
      end?.stdout ?? "",
      /rank 0, whose store the ranks meet in, at \S+ cannot be reached .*: no answer for 15 s/,
    );
  });

  test("a store that cannot be reached, or served, is named with its address", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    const short = { ...values, rank_start_timeout: 3 };
    const [zero = {}, one = {}] = placesOf(2, port);
    const unreachable = { ...one, MASTER_PORT: String(await freePort()) };
    const nowhere = { ...unreachable, MASTER_ADDR: "no-such-host.invalid" };
    // the program that has the port takes connections and says nothing
    const places = [zero, one, unreachable, nowhere].map((place) => ({
      ...place,
      PLAN: JSON.stringify({ values: short }),
    }));
    const ends = await allEnded(startRankPrograms("start-child.ts", places));
    taken.close();
    const expected = [
      new RegExp(
        `rank 0 cannot listen on port ${port}: another program has it.*Set MASTER_PORT to a free port`,
      ),
      new RegExp(
        `the store at 127\\.0\\.0\\.1:${port} cannot be reached.*that no other program has its port`,
      ),
      new RegExp(
        `the store at 127\\.0\\.0\\.1:${unreachable.MASTER_PORT} cannot be reached\\. Check MASTER_ADDR`,
      ),
      /the store at no-such-host\.invalid:\d+ cannot be reached\. Check MASTER_ADDR/,
    ];
    for (const [i, { status, stdout, stderr }] of ends.entries()) {
      assert.equal(status, 2, stderr);
      assert.match(stdout, expected[i] ?? /$^/);
      assert.equal(stderr, "");
    }
  });
});
