/** A group of real processes over Gloo: what its operations give, and what is said of ranks that are lost, late or wrong. */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { test } from "node:test";

const child = join(import.meta.dirname, "../support/rank-child.ts");

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : assert.fail();
}

interface Rank {
  process: ChildProcessByStdio<null, Readable, null>;
  /** What it has printed. */
  printed(): string;
  ended: Promise<{ status: number | null; last: unknown }>;
}

type Plan = { does: "operations" | "steps"; limit?: number; start?: number };

function start(variables: Record<string, string>, { does, limit = 10, start = 60 }: Plan): Rank {
  const started = spawn(process.execPath, ["--conditions=preftune-source", child], {
    env: {
      ...process.env,
      MASTER_ADDR: "127.0.0.1",
      ...variables,
      PLAN: JSON.stringify({ does, limit, start }),
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  started.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  const ended = once(started, "close").then(([status]) => {
    const lines = text.trim().split("\n");
    const last = lines.at(-1) ?? "";
    return {
      status: status as number | null,
      last: last.startsWith("{") || last.startsWith("[") ? JSON.parse(last) : null,
    };
  });
  return { process: started, printed: () => text, ended };
}

async function startAll(size: number, plan: Plan): Promise<Rank[]> {
  const port = String(await freePort());
  return Array.from({ length: size }, (_, rank) =>
    start({ RANK: String(rank), WORLD_SIZE: String(size), MASTER_PORT: port }, plan),
  );
}

for (const size of [2, 3]) {
  test(`${size} ranks: what is gathered, exchanged, added up and given, in three types`, async () => {
    const ranks = await startAll(size, { does: "operations" });
    const ends = await Promise.all(ranks.map(({ ended }) => ended));
    const all = Array.from({ length: size }, (_, r) => [r, r + 0.5, 7]).flat();
    for (const [rank, { status, last }] of ends.entries()) {
      assert.equal(status, 0);
      const exchanged = Array.from({ length: size }, (_, r) => [
        2 * rank + 10 * r,
        2 * rank + 1 + 10 * r,
      ]).flat();
      const sum = (size * (size + 1)) / 2;
      const uneven = Array.from({ length: size }, (_, r) => Array(rank + 1).fill(10 * r + rank)).flat();
      const expected = [all, exchanged, Array(5).fill(sum), [size - 1, size - 1], uneven];
      const facts = Array.from({ length: size }, (_, r) => [3000 * r, r, "NaN"]);
      assert.deepEqual(last, { tensors: [expected, expected, expected], facts });
    }
  });
}

for (const [signal, rank] of [
  ["SIGKILL", 1],
  ["SIGKILL", 0],
  ["SIGSTOP", 2],
] as const) {
  test(`${signal} of rank ${rank}: both others end and name it, its process and its step`, async () => {
    const ranks = await startAll(3, { does: "steps", limit: 4 });
    const { process: victim } = ranks[rank] ?? assert.fail();
    try {
      while (!ranks.every(({ printed }) => printed().includes("running")))
        await new Promise((r) => setTimeout(r, 20));
      victim.kill(signal);
      const others = ranks.filter((_, r) => r !== rank);
      for (const { status, last } of await Promise.all(others.map(({ ended }) => ended))) {
        assert.equal(status, 8);
        const { name, message } = last as { name: string; message: string };
        assert.equal(name, "LostRankError");
        assert.match(message, new RegExp(`^rank ${rank}\\b`));
        if (rank !== 0)
          assert.match(
            message,
            new RegExp(
              `pid ${victim.pid}\\) (gave no sign of life for \\d+ s|is gone, its process has ended); last at step \\d+, forward`,
            ),
          );
      }
    } finally {
      for (const one of ranks) one.process.kill("SIGKILL");
    }
  });
}

test("a rank that does not come is named; so is one that is there twice", async () => {
  const port = String(await freePort());
  const place = (rank: number) => ({ RANK: String(rank), WORLD_SIZE: "3", MASTER_PORT: port });
  const plan = { does: "operations", start: 8 } as const;
  const ranks = [start(place(0), plan), start(place(1), plan), start(place(1), plan)];
  const ends = await Promise.all(ranks.map(({ ended }) => ended));
  const messages = ends.map(({ status, last }) => [status, (last as { message: string }).message]);
  assert.deepEqual(messages[0]?.[0], 2);
  assert.match(String(messages[0]?.[1]), /after 8 s 2 of 3 ranks have come; missing: 2\./);
  assert.equal(
    messages.filter(([, message]) => /^rank 1 is there twice: host .*pid \d+ and host/.test(String(message)))
      .length,
    1,
  );
});
