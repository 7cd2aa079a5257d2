/** The page's event stream, with a browser's parts in its place. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Stream, silentStreams } from "./live.ts";

/** `EventSource.CLOSED`. */
const closed = 2;

/** A browser's EventSource as far as the page uses it. */
class FakeSource {
  static made: FakeSource[] = [];
  /** Says that the page is hidden, or seen again. */
  static see: () => void = () => {};
  readyState = 0;
  onopen: () => void = () => {};
  onerror: () => void = () => {};

  readonly address: string;
  readonly #heard: Map<string, (event: { lastEventId: string; data: string }) => void> = new Map();

  constructor(address: string) {
    this.address = address;
    FakeSource.made.push(this);
  }

  addEventListener(name: string, listen: (event: { lastEventId: string; data: string }) => void): void {
    this.#heard.set(name, listen);
  }

  say(name: string, lastEventId: string, data: unknown = {}): void {
    this.#heard.get(name)?.({ lastEventId, data: JSON.stringify(data) });
  }

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
    document: {
      hidden: false,
      addEventListener: (_: string, see: () => void) => {
        FakeSource.see = see;
      },
      removeEventListener: () => {},
    },
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

test("a page that was hidden asks from where it was: in its runs, and from the list as it last heard it", (t) => {
  browser(t, async () => session());
  const told: unknown[] = [];
  const stream = new Stream("/api/stream?runs=a@1.0.0.0&list=old", {
    rows: (news) => told.push(news),
    list: (news) => told.push(news),
    restart: (news) => told.push(news),
  });
  const turnTo = (hidden: boolean): void => {
    Object.assign(document, { hidden });
    FakeSource.see();
  };
  const askedBy = (i: number) =>
    Object.fromEntries(new URLSearchParams(FakeSource.made[i]?.address.split("?")[1]));
  assert.deepEqual(askedBy(0), { runs: "a@1.0.0.0", list: "old" });
  FakeSource.made[0]?.say("rows", "a@1.2.0.0;old", { run: "a", rows: [] });
  FakeSource.made[0]?.say("list", "a@1.2.0.0;new", { changed: [], gone: [], isWhole: false });
  turnTo(true);
  assert.equal(FakeSource.made[0]?.readyState, closed);
  turnTo(false);
  assert.deepEqual(askedBy(1), { runs: "a@1.2.0.0", list: "new" });
  FakeSource.made[1]?.say("restart", "a@2.0.0.0;new", { run: "a" });
  assert.equal(told.length, 3);
  turnTo(false);
  assert.equal(FakeSource.made.length, 2, "after a restart nothing more comes");
  stream.close();

  // a screen that shows the list alone
  const list = new Stream("/api/stream?list=old", { list: () => {} });
  FakeSource.made[2]?.say("list", ";new", { changed: [], gone: [], isWhole: false });
  turnTo(true);
  turnTo(false);
  assert.deepEqual(askedBy(3), { list: "new" });
  list.close();
});
