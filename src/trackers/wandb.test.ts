/** Rows at Weights & Biases, whose package takes rows at once and uploads them later: a stand-in of the package in Python. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { findProgram } from "../setup/path-search.ts";
import { RunSender } from "./sender.ts";
import type { TrackerReport } from "./tracker.ts";

/** Keeps each run's steps in `uploaded.json` once `finish` was called; as W&B does, it takes no step below the last. */
const standIn = `
import json, os, uuid

here = os.path.dirname(os.path.abspath(__file__))
store = os.path.join(here, "uploaded.json")

def uploaded():
    return json.load(open(store)) if os.path.exists(store) else {}

class Settings:
    def __init__(self, **_):
        pass

class Run:
    def __init__(self, id, dir):
        self.id = id
        self.offline = os.environ.get("WANDB_MODE") == "offline"
        kind = "offline-run" if self.offline else "run"
        self.dir = os.path.join(dir, "wandb", f"{kind}-{uuid.uuid4().hex}-{id}", "files")
        os.makedirs(self.dir)
        there = [] if self.offline else uploaded().get(id, [])
        self.resumed = bool(there)
        self.starting_step = there[-1] + 1 if there else 0
        self.steps = list(there)

    def define_metric(self, *_, **__):
        pass

    def log(self, values, step, commit):
        if step >= self.starting_step:
            self.steps.append(step)

    def finish(self, exit_code=0):
        if os.path.exists(os.path.join(here, "unreachable")):
            raise ConnectionError("no route to W&B")
        json.dump({**uploaded(), self.id: self.steps}, open(store, "w"))

def init(resume, settings, project, id, name, config, dir):
    return Run(id, dir)
`;

const skip = findProgram("python3") === null ? "no python3" : false;
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "preftune-wandb-"));
  writeFileSync(join(dir, "wandb.py"), standIn);
  process.env["PYTHONPATH"] = dir;
  write(5);
});

afterEach(() => {
  delete process.env["PYTHONPATH"];
  delete process.env["WANDB_MODE"];
  rmSync(dir, { recursive: true });
});

function write(steps: number): void {
  const rows = Array.from({ length: steps }, (_, i) => `{"global_step":${i + 1},"loss":1}\n`);
  writeFileSync(join(dir, "metrics.jsonl"), rows.join(""));
}

/** Sends what is there, in one attempt. */
async function send(): Promise<TrackerReport | undefined> {
  const sender = new RunSender(
    { runDir: dir, trackers: ["wandb"], project: "p", run: { name: "a run", config: {} } },
    { end: () => "done", deadline: () => 0, pause: () => Promise.resolve(), onTrouble: () => {} },
  );
  await sender.run();
  return sender.reports()[0];
}

function uploadedSteps(): number[][] {
  return Object.values(JSON.parse(readFileSync(join(dir, "uploaded.json"), "utf8")));
}

test("rows are there once their upload has ended: until then they are counted as missing, and sent again", {
  skip,
}, async () => {
  writeFileSync(join(dir, "unreachable"), "");
  const { trouble, ...counted } = (await send()) ?? {};
  assert.deepEqual(counted, { tracker: "wandb", sent: 0, unsent: 5, isClosed: false });
  assert.match(trouble ?? "", /ConnectionError: no route to W&B/);
  rmSync(join(dir, "unreachable"));
  const all = { tracker: "wandb", sent: 5, unsent: 0, isClosed: true, trouble: null };
  assert.deepEqual(await send(), all);
  assert.deepEqual(uploadedSteps(), [[2, 4, 6, 8, 10]]);
  // a resumed run goes on
  write(6);
  assert.deepEqual(await send(), { ...all, sent: 6 });
  assert.deepEqual(uploadedSteps(), [[2, 4, 6, 8, 10, 12]]);
});

test("a run that is not where it was sent to, of another entity, say, is sent there from its first row", {
  skip,
}, async () => {
  await send();
  rmSync(join(dir, "uploaded.json"));
  assert.equal((await send())?.sent, 5);
  assert.deepEqual(uploadedSteps(), [[2, 4, 6, 8, 10]]);
});

test("offline a run goes on where its files are, and begins anew where they are gone", { skip }, async () => {
  process.env["WANDB_MODE"] = "offline";
  await send();
  write(6);
  await send();
  assert.deepEqual(uploadedSteps(), [[12]]);
  rmSync(join(dir, "wandb"), { recursive: true });
  await send();
  assert.deepEqual(uploadedSteps(), [[2, 4, 6, 8, 10, 12]]);
});
