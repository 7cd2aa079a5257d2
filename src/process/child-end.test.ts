/** Tests of child-end.ts: every way in which a trainer can end, what it is called, and whether another start can help. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ChildEnd, endInWords, oomKills, verdictOn } from "./child-end.ts";

const quiet: ChildEnd = { status: null, signal: null, silentSeconds: null, outOfMemory: false };

test("what another start can fix is tried again, what it cannot is not, and who was told to stop is left", () => {
  const cases: [Partial<ChildEnd>, boolean, string][] = [
    [{ status: 0 }, true, "left"],
    [{ status: 130 }, true, "left"],
    [{ status: 143 }, true, "left"],
    [{ signal: "SIGTERM" }, true, "left"],
    [{ status: 2 }, true, "lasting"],
    [{ status: 3 }, true, "lasting"],
    [{ status: 4 }, true, "lasting"],
    [{ status: 6 }, true, "lasting"],
    // a disk that is full may have space again; one that cannot be written from the start will not
    [{ status: 5 }, true, "passing"],
    [{ status: 5 }, false, "lasting"],
    [{ status: 1 }, true, "passing"],
    [{ status: 1 }, false, "lasting"],
    [{ signal: "SIGKILL" }, false, "passing"],
    [{ signal: "SIGSEGV" }, true, "passing"],
    [{ signal: "SIGKILL", silentSeconds: 5 }, true, "passing"],
    [{ notStarted: "spawn node EAGAIN" }, true, "passing"],
    [{ notStarted: "spawn node ENOENT" }, false, "lasting"],
  ];
  for (const [end, hasBegun, verdict] of cases) {
    assert.equal(verdictOn({ ...quiet, ...end }, hasBegun), verdict, JSON.stringify([end, hasBegun]));
  }
});

test("an end is told with its cause", () => {
  const words = (end: Partial<ChildEnd>): string => endInWords({ ...quiet, ...end });
  assert.match(words({ status: 5 }), /^ended with status 5$/);
  assert.match(words({ signal: "SIGKILL" }), /killed \(SIGKILL\), by someone or/);
  assert.match(words({ signal: "SIGKILL", outOfMemory: true }), /by the system for want of memory/);
  assert.match(words({ signal: "SIGSEGV" }), /crashed \(SIGSEGV/);
  assert.match(words({ signal: "SIGKILL", silentSeconds: 5 }), /hung: it gave no sign of life for 5 s/);
  assert.match(words({ notStarted: "spawn node EAGAIN" }), /^could not be started: spawn node EAGAIN$/);
  assert.match(words({ signal: "SIGXCPU" }), /ended by SIGXCPU/);
});

test("the system's count of processes killed for want of memory is a number, also where it has none", () => {
  assert.ok(Number.isSafeInteger(oomKills()));
});
