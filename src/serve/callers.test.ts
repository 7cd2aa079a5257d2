/** Strangers never keep a holder of the key out: their places are few, the oldest makes room, and their time is short. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { Callers } from "./callers.ts";

function connection(): Socket {
  return new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() }) as unknown as Socket;
}

const closed = () => new Promise(setImmediate);

test("the oldest stranger makes room for the next, one that was served counts as new, and who brought the key stays", async () => {
  const callers = new Callers({ known: 2, strangers: 3, strangerMs: 100_000 });
  const sockets = Array.from({ length: 5 }, connection);
  const [a, b, c, d, e] = sockets as [Socket, Socket, Socket, Socket, Socket];
  for (const socket of [a, b, c]) callers.add(socket);
  assert.ok(callers.know(a));
  callers.add(d);
  callers.served(b);
  callers.add(e);
  await closed();
  assert.deepEqual(
    sockets.map(({ destroyed }) => destroyed),
    [false, false, true, false, false],
  );
  assert.deepEqual([callers.known, callers.strangers], [1, 3]);
  assert.ok(callers.know(a) && callers.know(b));
  assert.ok(!callers.know(d), "there are two places");
  a.destroy();
  await closed();
  assert.ok(callers.know(d));
  for (const socket of sockets) socket.destroy();
  await closed();
  assert.deepEqual([callers.known, callers.strangers], [0, 0]);
});

test("a stranger that brings no key in its time is turned away; who brought it is not", async () => {
  const callers = new Callers({ known: 2, strangers: 3, strangerMs: 20 });
  const [stranger, known] = [connection(), connection()];
  callers.add(stranger);
  callers.add(known);
  callers.know(known);
  await new Promise((resolve) => void setTimeout(resolve, 100));
  assert.deepEqual([stranger.destroyed, known.destroyed], [true, false]);
  known.destroy();
});
