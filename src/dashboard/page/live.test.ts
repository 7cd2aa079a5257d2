/** The page's event stream, with a browser's parts in its place. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Stream, silentStreams } from "./live.ts";

/** `EventSource.CLOSED`. */
const closed = 2;

/** A browser's EventSource as far as the page uses it. */
class FakeSource {
  static made: FakeSource[] = [];
  readyState = 0;
  onopen: () => void = () => {};
  onerror: () => void = () => {};

  constructor() {
    FakeSource.made.push(this);
  }

  addEventListener(): void {}

  close(): void {
    this.readyState = closed;
  }

  break(readyState: number): void {
    this.readyState = readyState;
    this.onerror();
  }
}

Object.defineProperty(FakeSource, "CLOSED", { value: closed });

/** A page that is looked at, whose questions for the session are answered by `answer`. */
function browser(t: TestContext, answer: () => Promise<Response>): void {
  FakeSource.made = [];
  silentStreams.value = 0;
  const parts = {
    EventSource: FakeSource,
    document: { hidden: false, addEventListener: () => {}, removeEventListener: () => {} },
    fetch: answer,
  };
  const before = Object.keys(parts).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
  Object.assign(globalThis, parts);
  t.after(() => {
    for (const [name, descriptor] of before as [string, PropertyDescriptor | undefined][]) {
      if (descriptor === undefined) Reflect.deleteProperty(globalThis, name);
      else Object.defineProperty(globalThis, name, descriptor);
    }
  });
  t.mock.timers.enable({ apis: ["setTimeout"] });
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const session = (): Response => Response.json({ role: "owner", name: "a", readOnly: null, empty: {} });

test("a stream that is left while it asks who is logged in does not open again", async (t) => {
  const asked = Promise.withResolvers<Response>();
  browser(t, () => asked.promise);
  const stream = new Stream("/api/stream?runs=a", {});
  FakeSource.made[0]?.break(closed);
  stream.close();
  asked.resolve(session());
  for (let i = 0; i < 10; i++) await turn();
  t.mock.timers.tick(60_000);
  assert.equal(FakeSource.made.length, 1);
});

test("one that was refused opens again after three seconds", async (t) => {
  browser(t, async () => session());
  const stream = new Stream("/api/stream?runs=a", {});
  FakeSource.made[0]?.break(closed);
  for (let i = 0; i < 10; i++) await turn();
  t.mock.timers.tick(3000);
  assert.equal(FakeSource.made.length, 2);
  stream.close();
});

test("streams that get no answer for ten seconds are counted, each once, until they get one or are left", async (t) => {
  browser(t, async () => {
    throw new TypeError("fetch failed");
  });
  const streams = ["a", "b"].map((run) => new Stream(`/api/stream?runs=${run}`, {}));
  FakeSource.made[0]?.break(0);
  t.mock.timers.tick(9000);
  FakeSource.made[0]?.break(0);
  FakeSource.made[1]?.break(closed);
  assert.equal(silentStreams.value, 0);
  for (let i = 0; i < 10; i++) await turn();
  t.mock.timers.tick(1000);
  assert.equal(silentStreams.value, 1);
  t.mock.timers.tick(9000);
  assert.equal(silentStreams.value, 2);
  FakeSource.made[0]?.onopen();
  assert.equal(silentStreams.value, 1);
  for (const stream of streams) stream.close();
  assert.equal(silentStreams.value, 0);
});
