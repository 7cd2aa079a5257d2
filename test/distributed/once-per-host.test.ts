/** What happens once on a host, the other ranks waiting in the store: fetching a model, tokenising rows into a file that all map. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { exitCodes } from "../../src/base/errors.ts";
import { fakeModelHub, type HubFiles } from "../support/fake-hub.ts";
import { skipWithoutNames, startOnNamed } from "../support/named-hosts.ts";
import { allEnded, freePort, placesOf, startRankPrograms } from "../support/rank-processes.ts";
import { digestAlone, type RowsGot, type RowsPlan } from "../support/rows-rank-child.ts";
import { runFixture, type Values } from "../support/runs.ts";
import { scratch } from "../support/scratch.ts";
import { writeRows } from "../support/tiny-model.ts";
import { endsOfTraining } from "../support/train-on-ranks.ts";

const fixture = runFixture({ rows: 20, held: 4 });
after(() => fixture[Symbol.dispose]());
const caches = mkdtempSync(join(scratch(), "preftune-once-"));
after(() => rmSync(caches, { recursive: true, force: true }));

const values = (name: string): Values => ({
  ...fixture.values,
  objective: "simpo",
  max_steps: 1,
  per_device_train_batch_size: 2,
  output_dir: fixture.path(name),
});
const skip = skipWithoutNames();
writeRows(
  fixture.path("prompts.jsonl"),
  ["red", "blue", "green", "x"].map((prompt) => ({ prompt })),
);

/** What each rank got, each time it prepared its rows. */
function gotOf(ends: { status: number | null; stdout: string; stderr: string }[]): RowsGot[][] {
  return ends.map(({ status, stdout, stderr }) => {
    assert.equal(status, 0, stderr + stdout);
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  });
}

/** Starts ranks on this host, with a folder for rows. */
async function startHere(size: number, plan: RowsPlan, cache: string) {
  const more = { PLAN: JSON.stringify(plan), PREFTUNE_ROW_CACHE: cache };
  const places = placesOf(size, await freePort()).map((place) => ({ ...place, ...more }));
  return startRankPrograms("rows-rank-child.ts", places);
}

// they wait for processes most of the time
suite("once per host", { concurrency: 3 }, () => {
  test("two hosts: the first rank of each tokenises, all map its file, and have the rows of one process", {
    skip,
  }, async () => {
    const plan: RowsPlan = { values: values("two-hosts") };
    const ranks = await startOnNamed([2, 2], ["rows-rank-child.ts"], (host) => ({
      PLAN: JSON.stringify(plan),
      PREFTUNE_ROW_CACHE: join(caches, `host${host}`),
    }));
    const got = gotOf(await allEnded(ranks)).map(([each]) => each);
    const digest = await digestAlone(plan.values);
    const both = { said: [], digest, mapped: 1, files: 1 };
    const [first, other] = [
      { tokenised: 24, ...both },
      { tokenised: 0, ...both },
    ];
    // the count begins again with the held-out rows
    assert.deepEqual(
      got.map((each) => ({ ...each, tokenised: (each?.tokenised ?? 0) > 0 ? 24 : 0 })),
      [first, other, first, other],
    );
  });

  test("a file is found again; one that is damaged is made again, and other rows are another file", async () => {
    const own = fixture.path("edited.jsonl");
    writeFileSync(own, readFileSync(fixture.path("train.jsonl")));
    const plan: RowsPlan = {
      values: { ...values("edited"), train_data: own },
      edits: ["nothing", "nothing", "cut short", "change a bit", "change a row"],
    };
    const before = await digestAlone(plan.values);
    const ranks = gotOf(await allEnded(await startHere(2, plan, join(caches, "edited"))));
    const afterwards = await digestAlone(plan.values);
    assert.notEqual(afterwards, before);
    for (const got of ranks) {
      const digests = got.map(({ digest }) => digest);
      assert.deepEqual(digests, [before, before, before, before, afterwards]);
      assert.deepEqual(
        got.map(({ files }) => files),
        [1, 1, 1, 1, 2],
      );
    }
    const [first, other] = ranks;
    assert.deepEqual(
      first?.map(({ tokenised }) => tokenised > 0),
      [true, false, true, true, true],
    );
    assert.ok(other?.every(({ tokenised }) => tokenised === 0));
    const said = first?.map((each) => each.said.join()) ?? [];
    assert.deepEqual([said[0], said[4]], ["", ""]);
    assert.match(said[1] ?? "", /^rows as tokenised before: .*\.rows$/);
    assert.match(said[2] ?? "", /\.rows: expected a file of tokenised rows, but it is cut short/);
    assert.match(said[3] ?? "", /it has changed since it was written \(SHA-256\)/);
  });

  test("rows with errors, and a file that cannot be written, are one sentence and one status on all ranks", async () => {
    const bad = fixture.path("bad.jsonl");
    writeFileSync(bad, '{"prompt": "a", "chosen": "b", "rejected": "b"}\n'.repeat(3));
    const faulty = await endsOfTraining(2, { ...values("bad"), train_data: bad, eval_data: null });
    const blocked = { values: values("blocked") };
    const unwritable = await allEnded(await startHere(2, blocked, join(bad, "cache")));
    for (const [ends, status, expected] of [
      [
        faulty,
        exitCodes.DataError,
        /rank 0 \(host \S+\): The data has one kind of error.*3 rows: .*bad\.jsonl:1/,
      ],
      [
        unwritable,
        exitCodes.FileError,
        /rank 0 \(host \S+\): Cannot make directory .*cache.*not a directory.*PREFTUNE_ROW_CACHE names another folder/,
      ],
    ] as const) {
      const lines = new Set(ends.map(({ stdout }) => stdout.trim().split("\n").at(-1) ?? ""));
      assert.equal(lines.size, 1, [...lines].join("\n"));
      assert.match([...lines].join(), expected);
      assert.deepEqual(
        ends.map((end) => end.status),
        [status, status],
      );
    }
  });

  test("ranks that wait in the store hear of one that is gone", async () => {
    for (const gone of [0, 1]) {
      const plan: RowsPlan = { values: values("gone"), worksFor: 120 };
      const ranks = await startHere(3, plan, join(caches, "gone"));
      await Promise.all(ranks.map(({ saw }) => saw("begins")));
      ranks[gone]?.child.kill("SIGKILL");
      const ends = (await allEnded(ranks)).filter((_, rank) => rank !== gone);
      for (const { status, stdout, stderr } of ends) {
        assert.equal(status, 8, stdout);
        // what killed rank 0 may have come before the others had read who it is
        assert.match(
          stdout + stderr,
          new RegExp(
            `rank ${gone}( \\(host \\S+, pid ${ranks[gone]?.child.pid}\\))?(, whose store| is gone)`,
          ),
        );
      }
    }
  });

  const ofHub: Values = { ...values("hub"), model_name_or_path: "hub:o/n" };
  const generating = ["generate", "--model", "hub:o/n", "--prompts", fixture.path("prompts.jsonl")];
  for (const [name, args] of [
    ["train", ["train-rank-child.ts"]],
    [
      "generate",
      [
        "../../src/cli/main.ts",
        ...generating,
        "--max-new-tokens",
        "2",
        "--output",
        fixture.path("hub.jsonl"),
      ],
    ],
  ] as const) {
    test(`${name}: a model of the hub is sent once to each host`, { skip }, async () => {
      const files = readdirSync(fixture.path("base"));
      const contents: HubFiles = Object.fromEntries(
        files.map((file) => [file, new Uint8Array(readFileSync(fixture.path("base", file)))]),
      );
      const hub = fakeModelHub("o/n", { ["a".repeat(40)]: contents });
      const server = createServer(async ({ url, headers }, reply) => {
        const range = headers.range === undefined ? {} : { range: headers.range };
        const answer = await hub.fetch(`http://hub.invalid${url}`, { headers: range });
        reply.writeHead(answer.status, Object.fromEntries(answer.headers));
        reply.end(Buffer.from(await answer.arrayBuffer()));
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const ranks = await startOnNamed([2, 2], args, (host) => ({
        VALUES: JSON.stringify(ofHub),
        HF_ENDPOINT: `http://127.0.0.1:${port}`,
        HF_HUB_CACHE: join(caches, `${name}-hub${host}`),
        PREFTUNE_ROW_CACHE: join(caches, `${name}-rows${host}`),
      }));
      const ends = await allEnded(ranks);
      server.close();
      for (const { status, stdout, stderr } of ends) assert.equal(status, 0, stdout + stderr);
      assert.deepEqual(hub.sent.toSorted(), [...files, ...files].sort());
      if (name === "generate") return;
      for (const host of [0, 1]) assert.equal(readdirSync(join(caches, `${name}-rows${host}`)).length, 1);
    });
  }
});
