/** Replies that are not read: within the limits they wait, beyond them they are dropped, the largest first. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { clientLeft } from "./api-error.ts";
import { type OutletLimits, Outlets } from "./outlet.ts";

function opened(limits: OutletLimits, count: number) {
  const outlets = new Outlets(limits);
  const ends: (string | null)[] = [];
  const list = Array.from({ length: count }, (_, i) =>
    outlets.open((error) => {
      ends[i] = error?.code ?? null;
    }),
  );
  return { outlets, ends, list };
}

const patient = { unreadBytes: 1000, stallMs: 100_000 };

test("what is written arrives, in order and to the last byte, and then the reply is over", async () => {
  const { outlets, ends, list } = opened({ ...patient, unreadBytes: 10 ** 7 }, 1);
  const [outlet = assert.fail()] = list;
  const parts = ["a", "é😀".repeat(60_000), "b", "c".repeat(70_000), ""];
  const text = new Response(outlet.stream).text();
  for (const part of parts) {
    outlet.write(part);
    await new Promise(setImmediate);
  }
  assert.deepEqual(ends, []);
  outlet.end();
  assert.equal(await text, parts.join(""));
  assert.deepEqual(ends, [null]);
  assert.equal(outlets.unreadBytes, 0);
});

test("an empty reply ends", async () => {
  const { ends, list } = opened(patient, 1);
  list[0]?.end();
  assert.equal(await new Response(list[0]?.stream).text(), "");
  assert.deepEqual(ends, [null]);
});

test("where replies have more unread than there is room for, that with most of it is dropped, and the others go on", async () => {
  const { outlets, ends, list } = opened(patient, 3);
  const [small = assert.fail(), large = assert.fail(), later = assert.fail()] = list;
  small.write("a".repeat(100));
  large.write("b".repeat(800));
  assert.deepEqual(ends, []);
  later.write("c".repeat(300));
  assert.equal(ends[1], "client_stalled");
  assert.equal(outlets.unreadBytes, 400);
  await assert.rejects(new Response(large.stream).text(), /left 800 bytes of its reply unread/);
  // it is no fault to go on writing: the engine may not know yet
  large.write("more");
  large.end();
  for (const outlet of [small, later]) outlet.end();
  assert.equal((await new Response(small.stream).text()).length, 100);
  assert.equal((await new Response(later.stream).text()).length, 300);
  assert.deepEqual(ends, [null, "client_stalled", null]);
});

test("a client that takes nothing in time loses the reply; one whose answer is slow to come does not", async () => {
  const { ends, list } = opened({ unreadBytes: 1000, stallMs: 20 }, 2);
  const [stalled = assert.fail(), slow = assert.fail()] = list;
  const text = new Response(slow.stream).text();
  stalled.write("unread");
  await new Promise((resolve) => void setTimeout(resolve, 100));
  assert.deepEqual(ends, ["client_stalled"]);
  slow.write("x");
  slow.end();
  assert.equal(await text, "x");
  assert.deepEqual(ends, ["client_stalled", null]);
});

test("the reply of a client that has left ends without a failure, which the server would print", async () => {
  const { outlets, ends, list } = opened(patient, 1);
  const [outlet = assert.fail()] = list;
  const text = new Response(outlet.stream).text();
  outlet.drop(clientLeft());
  outlet.write("y");
  assert.equal(await text, "");
  assert.deepEqual(ends, ["client_left"]);
  assert.equal(outlets.unreadBytes, 0);
});

test("a client that leaves ends the reply once", async () => {
  const { outlets, ends, list } = opened(patient, 1);
  list[0]?.write("x");
  await list[0]?.stream.cancel();
  list[0]?.write("y");
  list[0]?.end();
  assert.deepEqual(ends, ["client_left"]);
  assert.equal(outlets.unreadBytes, 0);
});
