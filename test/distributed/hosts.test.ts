/** Ranks on several hosts, which are network namespaces: their addresses, what they send, a link that is cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Running } from "../support/command.ts";
import { Hosts, skipWithoutHosts } from "../support/hosts.ts";
import type { RankPlan } from "../support/rank-child.ts";
import { assertLost, endsOf, startPlans } from "../support/rank-ends.ts";
import { placesOn } from "../support/rank-processes.ts";

const reason = skipWithoutHosts();
const child = "test/support/rank-child.ts";

/** A rank on each host, all with one plan, that meet on host 0; over loopback where there are no hosts. */
async function startOn(hosts: Hosts | null, size: number, plan: RankPlan, meet: string): Promise<Running[]> {
  if (hosts === null) return await startPlans(Array(size).fill(plan));
  const each = Array.from({ length: size }, (_, rank) => rank);
  return placesOn(each, 29500, meet).map((place, rank) =>
    hosts.start(rank, [child], { ...place, PLAN: JSON.stringify(plan) }),
  );
}

/** The addresses that somebody listens on at a host, from /proc/net/tcp and tcp6. */
function listening(hosts: Hosts, host: number): string[] {
  const lines = hosts.ask(host, "cat /proc/net/tcp /proc/net/tcp6").split("\n");
  const fields = lines.map((line) => line.trim().split(/\s+/)).filter(([, , , state]) => state === "0A");
  // the last four bytes, the lowest first; of IPv6 those of an IPv4 address in it
  return fields.map(([, local = ""]) => {
    const bytes = local.split(":")[0]?.slice(-8).match(/../g) ?? [];
    return bytes
      .toReversed()
      .map((byte) => Number.parseInt(byte, 16))
      .join(".");
  });
}

test("three hosts whose names resolve to 127.0.0.1 find their addresses without configuration", async (t) => {
  if (reason !== false) t.diagnostic(`over loopback: ${reason}`);
  using hosts = reason === false ? await Hosts.start(3) : null;
  // and wait for each other longer than on one machine
  const noDelays = hosts?.delay(1, 5) ?? false;
  if (noDelays !== false) t.diagnostic(noDelays);
  // by its name, which is 127.0.0.1 on host 0 itself
  const ranks = await startOn(hosts, 3, { does: "operations" }, "host0");
  for (const { status, last } of await endsOf(ranks))
    assert.equal(status, 0, JSON.stringify(last).slice(0, 500));
});

test("store and Gloo listen on the host's own address only", { skip: reason }, async () => {
  using hosts = await Hosts.start(2);
  const ranks = await startOn(hosts, 2, { does: "steps" }, hosts.address(0));
  await Promise.all(ranks.map((rank) => rank.saw("running")));
  for (const host of [0, 1]) assert.deepEqual([...new Set(listening(hosts, host))], [hosts.address(host)]);
  for (const rank of ranks) rank.child.kill("SIGKILL");
});

test("bytes on the interface: what a rank has to send, and 2 % at most besides", {
  skip: reason,
}, async () => {
  using hosts = await Hosts.start(3);
  const ranks = await startOn(hosts, 3, { does: "bytes" }, hosts.address(0));
  const ends = await endsOf(ranks);
  for (const [operation, parts] of [
    ["allGather", 2 / 3],
    ["exchange", 2 / 3],
    ["allReduce", 4 / 3],
  ] as const) {
    for (const { last } of ends) {
      const share = Number(last[operation]) / (parts * Number(last["whole"]));
      assert.ok(share > 0.99 && share < 1.02, `${operation}: ${share} of the formula's bytes`);
    }
  }
});

test("a link that is cut is found and named on both sides; one that comes back in time is no loss", {
  skip: reason,
}, async () => {
  using hosts = await Hosts.start(3);
  const ranks = await startOn(hosts, 3, { does: "steps", limit: 6 }, hosts.address(0));
  await Promise.all(ranks.map((rank) => rank.saw("running")));
  hosts.link(1, "down");
  await sleep(1000);
  hosts.link(1, "up");
  await sleep(5000);
  for (const { child: alive } of ranks) assert.equal(alive.exitCode, null);
  const cut = performance.now();
  hosts.link(2, "down");
  const isolated =
    /^rank 0 \(host host0, .*, whose store .* cannot be reached from here \(host host2, .*: no answer/;
  await Promise.all([
    assertLost(
      ranks.slice(0, 2),
      /^rank 2 \(host host2, pid \d+\) gave no sign of life for (?:[6-9]|\d\d) s; last at step \d+/,
    ),
    assertLost(ranks.slice(2), isolated),
  ]);
  assert.ok(performance.now() - cut < 60_000);
});

test("a rank that dies on another host is named by its beats, long before the limit", {
  skip: reason,
}, async () => {
  using hosts = await Hosts.start(3);
  const ranks = await startOn(hosts, 3, { does: "steps", limit: 600 }, hosts.address(0));
  await Promise.all(ranks.map((rank) => rank.saw("running")));
  ranks[1]?.child.kill("SIGKILL");
  const named = /^rank 1 \(host host1, pid \d+\) gave no sign of life for \d{1,2} s; last at step \d+/;
  await assertLost([ranks[0] as Running, ranks[2] as Running], named);
});
