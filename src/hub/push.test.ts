import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { type FakePushHub, fakePushHub } from "../../test/support/fake-hub.ts";
import { ConfigError } from "../base/errors.ts";
import { HubError } from "./hub.ts";
import { type PushOptions, type PushResult, pushToHub } from "./push.ts";
import type { PushFile } from "./push-plan.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-push-"));
after(() => rmSync(root, { recursive: true }));
const weights = join(root, "weights");
writeFileSync(weights, "weights of the first");
const token = "hf_secret-of-the-test";

let hub: FakePushHub;
let pauses: number[];

beforeEach(() => {
  hub = fakePushHub("o/n");
  pauses = [];
});

const card: PushFile = { path: "README.md", content: { text: "card" } };
const model: PushFile = { path: "model.safetensors", content: { file: weights } };
const extra: PushFile = { path: "sub/config.json", content: { text: "{}" } };

function push(
  files: readonly PushFile[] = [card, model, extra],
  changes: Partial<PushOptions> = {},
): Promise<PushResult> {
  return pushToHub("o/n", files, {
    ...{ fetch: hub.fetch, hubUrl: "http://hub.invalid", accessToken: token },
    ...{ isPublic: false, isDryRun: false, title: "a run", madeBy: "preftune 0" },
    pause: async (ms) => pauses.push(ms),
    ...changes,
  });
}

/** The repository's files as they are now. */
function there(): Record<string, string> {
  const files = hub.commits[hub.branches["main"] ?? ""] ?? {};
  return Object.fromEntries(
    Object.entries(files).map(([path, content]) => [path, Buffer.from(content).toString()]),
  );
}

function changes({ steps }: PushResult): Record<string, string> {
  return Object.fromEntries(steps.map(({ path, change }) => [path, change]));
}

test("a new repository is private and gets all files in one commit; the token stands in no body and goes to no storage", async () => {
  const result = await push();
  assert.deepEqual(hub.repo, { isPublic: false });
  assert.equal(result.commit, hub.branches["main"]);
  const { ".gitattributes": _, "preftune.json": manifest = "", ...files } = there();
  assert.deepEqual(files, {
    "README.md": "card",
    "model.safetensors": "weights of the first",
    "sub/config.json": "{}",
  });
  assert.deepEqual(Object.keys(JSON.parse(manifest).files), [
    "README.md",
    "model.safetensors",
    "sub/config.json",
  ]);
  assert.equal(hub.requests.filter((path) => path.includes("/commit/")).length, 1);
  for (const text of [...hub.bodies, ...Object.values(there())]) assert.equal(text.includes(token), false);
  assert.deepEqual(hub.authorizations, new Set([`Bearer ${token}`, null]));
});

test("a dry run says what would change and sends nothing", async () => {
  const result = await push(undefined, { isDryRun: true });
  assert.deepEqual([result.commit, result.wasThere, hub.repo], [null, false, null]);
  assert.deepEqual(changes(result), {
    "README.md": "new",
    "model.safetensors": "new",
    "sub/config.json": "new",
    "preftune.json": "new",
  });
  assert.deepEqual(hub.bodies, []);
});

test("a second push changes what has changed, removes what the first wrote and this one does not have, and leaves the rest", async () => {
  await push();
  const head = hub.branches["main"] ?? "";
  Object.assign(hub.commits[head] ?? {}, { "notes.md": "mine" });
  assert.deepEqual((await push()).commit, null, "all is there");
  const result = await push([{ ...card, content: { text: "card 2" } }, model]);
  assert.deepEqual(changes(result), {
    "README.md": "changed",
    "model.safetensors": "same",
    "preftune.json": "changed",
    "sub/config.json": "removed",
  });
  const { ".gitattributes": _, "preftune.json": __, ...files } = there();
  assert.deepEqual(files, {
    "README.md": "card 2",
    "model.safetensors": "weights of the first",
    "notes.md": "mine",
  });
  assert.equal(hub.stored.size, 1);
});

test("what preftune did not write, or what was changed since, is never overwritten or removed", async () => {
  await push();
  const files = hub.commits[hub.branches["main"] ?? ""] ?? {};
  files["README.md"] = "card of a person";
  files["sub/config.json"] = "changed by a person";
  const before = there();
  await assert.rejects(push([{ ...card, content: { text: "card 2" } }, model]), (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(
      error.message,
      /hub:o\/n has another README\.md, which no earlier push wrote or which was changed since/,
    );
    return true;
  });
  assert.deepEqual(there(), before);
  const kept = await push([{ ...card, content: { text: "card of a person" } }, model]);
  assert.equal(changes(kept)["sub/config.json"], undefined, "not removed");
  assert.equal(there()["sub/config.json"], "changed by a person");
});

test("nothing is public by accident: a public repository is refused, and one that is made public against the wish gets no file", async () => {
  hub.makesPublic = true;
  await assert.rejects(push(), /was made and is public: expected a private repository/);
  assert.deepEqual(Object.keys(there()), [".gitattributes"]);
  await assert.rejects(push(), /hub:o\/n is public: .*--public/);
  assert.equal(hub.stored.size, 0);
  await push(undefined, { isPublic: true });
  assert.equal(there()["README.md"], "card");
});

for (const [status, advice] of [
  [401, /hf auth login/],
  [403, /the token's rights/],
  [409, /committed meanwhile: push again/],
] as const) {
  test(`status ${status} is told with what to do, and nothing is changed`, async () => {
    await push([card]);
    const before = there();
    hub.fault = (_method, path) => (path.includes("/commit/") ? status : null);
    await assert.rejects(push(), (error: unknown) => {
      assert.ok(error instanceof HubError);
      assert.equal(error.status, status);
      assert.match(error.message, advice);
      assert.equal(error.message.includes(token), false);
      return true;
    });
    assert.deepEqual(there(), before);
    assert.equal(hub.stored.size, 1);
    hub.fault = () => null;
    await push();
    const sent = hub.requests.filter((path) => path === "/store").length;
    assert.equal(sent, 1, "what was uploaded is not sent again");
  });
}

test("busy, out of order, cut and answers that are lost: each request is tried again, and nothing is there twice", async () => {
  const faults = new Map<string, (number | "cut" | "lost")[]>();
  hub.fault = (method, path) => {
    const key = `${method} ${path}`;
    const left = faults.get(key) ?? [429, 500, "cut", "lost"];
    faults.set(key, left);
    return left.shift() ?? null;
  };
  const { commit } = await push();
  assert.equal(commit, hub.branches["main"]);
  assert.deepEqual(hub.repo, { isPublic: false });
  assert.equal(there()["model.safetensors"], "weights of the first");
  assert.equal(Object.keys(hub.commits).length, 2, "the first commit and one more");
  assert.ok(pauses.includes(1000) && pauses.includes(4000));
});

test("a push that was cut off for good leaves the repository as it was", async () => {
  await push([card]);
  const before = there();
  hub.fault = (method) => (method === "PUT" ? "cut" : null);
  await assert.rejects(push(), /No file of the repository was changed.*Push again once the hub answers/);
  assert.deepEqual(there(), before);
});

test("a token of another hub is sent to that hub, and to no storage", async () => {
  // its storage lies elsewhere
  const { commit } = await push(undefined, { accessToken: "glpat-1", hubUrl: "http://other.invalid/" });
  assert.equal(commit, hub.branches["main"]);
  assert.deepEqual(hub.authorizations, new Set(["Bearer glpat-1", null]));
});

test("no token, and a name that is none, are refused before anything is asked", async () => {
  const { HF_TOKEN: own, HF_TOKEN_PATH: ownPath } = process.env;
  delete process.env["HF_TOKEN"];
  process.env["HF_TOKEN_PATH"] = join(root, "none");
  after(() =>
    Object.assign(process.env, {
      ...(own ? { HF_TOKEN: own } : {}),
      ...(ownPath ? { HF_TOKEN_PATH: ownPath } : {}),
    }),
  );
  const { fetch } = hub;
  const options = { fetch, isPublic: false, isDryRun: true, title: "t", madeBy: "m" };
  await assert.rejects(pushToHub("o/n", [card], options), /expected a token that may write there/);
  await assert.rejects(pushToHub("o", [card], options), /expected a repository as owner\/name, got "o"/);
  assert.deepEqual(hub.requests, []);
});
