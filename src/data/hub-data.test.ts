import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { zstdCompressSync } from "node:zlib";

import type { RawRow } from "./example.ts";
import { fetchHubFiles, parseHubId } from "./hub-data.ts";
import { readRows } from "./sources.ts";

const cacheDirectory = mkdtempSync(join(tmpdir(), "preftune-hub-"));
after(() => rmSync(cacheDirectory, { recursive: true }));

test("names are taken apart", () => {
  assert.deepEqual(parseHubId("own-er/na.me"), { repo: "own-er/na.me", folder: "", split: null });
  assert.deepEqual(parseHubId("owner/name:train_prefs"), {
    repo: "owner/name",
    folder: "",
    split: "train_prefs",
  });
  assert.deepEqual(parseHubId("hub:owner/name/sub/dir:test"), {
    repo: "owner/name",
    folder: "sub/dir",
    split: "test",
  });
  for (const text of [
    "owner",
    "./owner/name",
    "/a/b",
    "data/train.jsonl",
    "a/b/c",
    "../a/b",
    "hub:owner",
    "a/b:",
  ]) {
    assert.equal(parseHubId(text), null, text);
  }
});

const content = '{"prompt": "a", "chosen": "b", "rejected": "c"}\n';
const oid = createHash("sha256").update(content).digest("hex");
const commit = "c".repeat(40);

/** A hub of one data set; `body` is what a download of each of its files gives. */
function fakeHub(
  body: string,
  size: number = content.length,
  hasChecksum = true,
  names: readonly string[] = ["train.jsonl"],
): { fetch: typeof fetch; downloads: () => number } {
  let downloads = 0;
  const answer = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const { pathname } = new URL(input instanceof Request ? input.url : input);
    if (pathname.endsWith("/revision/main")) return Response.json({ _id: "1", id: "o/n", sha: commit });
    if (pathname.startsWith("/api/datasets/o/n/tree/")) {
      const lfs = hasChecksum ? { lfs: { oid, size, pointerSize: 1 } } : {};
      const files = [...names, "dataset_infos.json"].map((path) => ({
        type: "file",
        path,
        size,
        oid: path,
        ...lfs,
      }));
      return Response.json([...files, { type: "file", path: "README.md", size: 1, oid: "y" }]);
    }
    if (!names.some((name) => pathname.endsWith(`/${name}`))) return new Response("no", { status: 404 });
    if (init?.method !== "HEAD") downloads++;
    return contentOf(body, new Headers(init?.headers).get("range"));
  };
  return { fetch: answer as typeof fetch, downloads: () => downloads };
}

function contentOf(body: string, range: string | null): Response {
  const headers = {
    etag: `"${oid}"`,
    "content-length": String(body.length),
    "content-range": `bytes 0-0/${body.length}`,
  };
  const status = range === null ? 200 : 206;
  return new Response(range === "bytes=0-0" ? body.slice(0, 1) : body, { status, headers });
}

/** Runs `body` with HF_HUB_OFFLINE set. */
async function offline(body: () => Promise<void>): Promise<void> {
  const before = process.env["HF_HUB_OFFLINE"];
  process.env["HF_HUB_OFFLINE"] = "1";
  try {
    await body();
  } finally {
    if (before === undefined) delete process.env["HF_HUB_OFFLINE"];
    else process.env["HF_HUB_OFFLINE"] = before;
  }
}

test("with HF_HUB_OFFLINE the cache's files serve, whoever fetched them, unless a part is missing", async () => {
  const cache = mkdtempSync(join(cacheDirectory, "others-"));
  const folder = join(cache, "datasets--o--n");
  const data = join(folder, "snapshots", commit, "data");
  mkdirSync(data, { recursive: true });
  mkdirSync(join(folder, "refs"));
  writeFileSync(join(folder, "refs", "main"), commit);
  writeFileSync(join(data, "test.jsonl"), content);
  writeFileSync(join(data, "train-00001-of-00002.jsonl"), content);
  const options = { cacheDirectory: cache, fetch: fakeHub(content).fetch, hubUrl: "http://hub.invalid" };
  await offline(async () => {
    const {
      files: [file],
    } = await fetchHubFiles({ repo: "o/n", folder: "", split: "test" }, options);
    assert.equal(file?.path, join(data, "test.jsonl"));
    assert.equal(file?.name, "hub:o/n/data/test.jsonl");
    await assert.rejects(
      fetchHubFiles({ repo: "o/n", folder: "data", split: "train" }, options),
      /expected all 2 parts of train, but data\/train-00000-of-00002\.jsonl is not there\. Unset HF_HUB_OFFLINE/,
    );
    await assert.rejects(
      fetchHubFiles({ repo: "o/m", folder: "", split: null }, options),
      /HF_HUB_OFFLINE is 1/,
    );
  });
});

test("parts whose names end in fingerprints of their own are one split, unless one is missing", async () => {
  // As in HuggingFaceH4/ultrachat_200k.
  const names = ["a3ecf92756993583", "0a1804bcb6ae68c6", "ee46ed25cfae92c6"].map(
    (print, part) => `data/train_sft-0000${part}-of-00003-${print}.jsonl`,
  );
  const read = async (listed: readonly string[]): Promise<string[]> => {
    const { fetch } = fakeHub(content, content.length, true, listed);
    const cache = mkdtempSync(join(cacheDirectory, "prints-"));
    const hub = { cacheDirectory: cache, fetch, hubUrl: "http://hub.invalid" };
    const origins: string[] = [];
    for await (const { origin } of readRows({ path: "o/n:train_sft", hub })) origins.push(origin.file);
    return origins;
  };
  assert.deepEqual(
    await read(names),
    names.map((name) => `hub:o/n/${name}`),
  );
  await assert.rejects(
    read(names.toSpliced(1, 1)),
    /expected all 3 parts of train_sft, but data\/train_sft-00001-of-00003\.jsonl is not there\. Ask the data set's owner/,
  );
  const twice = ["0a1804bcb6ae68c6", "a3ecf92756993583"].map((print) => `t-00000-of-00001-${print}.jsonl`);
  const { fetch } = fakeHub(content, content.length, true, twice);
  const cache = mkdtempSync(join(cacheDirectory, "twice-"));
  const options = { cacheDirectory: cache, fetch, hubUrl: "http://hub.invalid" };
  const { files, together } = await fetchHubFiles({ repo: "o/n", folder: "", split: "t" }, options);
  assert.deepEqual(
    together,
    files.map(({ name }) => name),
  );
  assert.equal(together?.length, 2);
});

test("with HF_HUB_OFFLINE a split that happens to be in the cache is not taken for the one that was not named", async () => {
  const cache = mkdtempSync(join(cacheDirectory, "unnamed-"));
  const folder = join(cache, "datasets--o--n");
  const snapshot = join(folder, "snapshots", commit);
  mkdirSync(snapshot, { recursive: true });
  mkdirSync(join(folder, "refs"));
  writeFileSync(join(folder, "refs", "main"), commit);
  writeFileSync(join(snapshot, "test.jsonl"), content);
  const id = { repo: "o/n", folder: "", split: null };
  await offline(async () => {
    await assert.rejects(
      fetchHubFiles(id, { cacheDirectory: cache }),
      /hub:o\/n: expected the name of a split, .*it has test\. Name one as hub:o\/n:SPLIT, or unset HF_HUB_OFFLINE/,
    );
    assert.equal((await fetchHubFiles({ ...id, split: "test" }, { cacheDirectory: cache })).files.length, 1);
    writeFileSync(join(snapshot, "train.jsonl"), content);
    const { files } = await fetchHubFiles(id, { cacheDirectory: cache });
    assert.deepEqual(
      files.map(({ name }) => name),
      ["hub:o/n/train.jsonl"],
    );
  });
});

test("with HF_HUB_OFFLINE files are chosen from the hub's list of the commit, and all of them must be there", async () => {
  const names = ["main/train-a.jsonl", "main/train-b.jsonl", "main/test.jsonl"];
  const { fetch } = fakeHub(content, content.length, false, names);
  const options = {
    cacheDirectory: mkdtempSync(join(cacheDirectory, "listed-")),
    fetch,
    hubUrl: "http://hub.invalid",
  };
  const id = { repo: "o/n", folder: "", split: null };
  const taken = async (folder = ""): Promise<string[]> =>
    (await fetchHubFiles({ ...id, folder }, options)).files.map(({ name }) => name);
  await fetchHubFiles({ ...id, split: "test" }, options);
  const missing =
    /^FileError: hub:o\/n\/main\/train-a\.jsonl: expected this file in the cache.*Unset HF_HUB_OFFLINE/;
  await offline(async () => {
    await assert.rejects(taken(), missing);
    await assert.rejects(taken("main"), missing);
  });
  const train = ["hub:o/n/main/train-a.jsonl", "hub:o/n/main/train-b.jsonl"];
  assert.deepEqual(await taken(), train);
  await offline(async () => {
    assert.deepEqual(await taken("main"), train);
    rmSync(join(options.cacheDirectory, "datasets--o--n", "snapshots", commit, "main", "train-b.jsonl"));
    rmSync(join(options.cacheDirectory, "datasets--o--n", "blobs"), { recursive: true });
    await assert.rejects(taken(), /expected this file in the cache/);
  });
});

test("compressed files of the hub are read to their last frame; files of the split in another format are told of", async () => {
  const cache = mkdtempSync(join(cacheDirectory, "frames-"));
  const folder = join(cache, "datasets--o--n");
  const snapshot = join(folder, "snapshots", commit);
  mkdirSync(snapshot, { recursive: true });
  mkdirSync(join(folder, "refs"));
  writeFileSync(join(folder, "refs", "main"), commit);
  const frames = Buffer.concat([zstdCompressSync(content), zstdCompressSync(content)]);
  writeFileSync(join(snapshot, "train.jsonl.zst"), frames);
  for (const name of ["train.csv", "README.md"]) writeFileSync(join(snapshot, name), "x\n");
  const hub = { cacheDirectory: cache, fetch: fakeHub(content).fetch, hubUrl: "http://hub.invalid" };
  await offline(async () => {
    const lines: number[] = [];
    const told: string[] = [];
    for await (const { origin } of readRows({ path: "hub:o/n", hub }, (file) => told.push(file))) {
      lines.push(origin.line);
    }
    assert.deepEqual(lines, [1, 2]);
    assert.deepEqual(told, ["hub:o/n/train.csv"]);
  });
});

test("without a network the error says that the cache has a copy, and does not take it unasked", async () => {
  const cache = mkdtempSync(join(cacheDirectory, "down-"));
  const options = { cacheDirectory: cache, fetch: fakeHub(content).fetch, hubUrl: "http://hub.invalid" };
  const id = { repo: "o/n", folder: "", split: null };
  await fetchHubFiles(id, options);
  const down = async (): Promise<Response> => {
    throw new TypeError("fetch failed");
  };
  await assert.rejects(fetchHubFiles(id, { ...options, fetch: down }), /set HF_HUB_OFFLINE=1 to use them\.$/);
  await offline(async () =>
    assert.equal((await fetchHubFiles(id, { ...options, fetch: down })).files.length, 1),
  );
});

test("hidden files, and those of hidden folders and of __MACOSX, are not the data set's", async () => {
  const names = [
    "train.jsonl",
    ".train.jsonl",
    ".ipynb_checkpoints/train-checkpoint.jsonl",
    "__MACOSX/train.jsonl",
  ];
  const { fetch } = fakeHub(content, content.length, true, names);
  const cache = mkdtempSync(join(cacheDirectory, "hidden-"));
  const options = { cacheDirectory: cache, fetch, hubUrl: "http://hub.invalid" };
  const { files, passedOver, together } = await fetchHubFiles(
    { repo: "o/n", folder: "", split: null },
    options,
  );
  assert.deepEqual(
    files.map(({ name }) => name),
    ["hub:o/n/train.jsonl"],
  );
  assert.deepEqual([passedOver, together], [[], []]);
});

test("files are downloaded once and read from the cache after", async () => {
  const hub = fakeHub(content);
  const source = { path: "hub:o/n", hub: { fetch: hub.fetch, cacheDirectory, hubUrl: "http://hub.invalid" } };
  const rows: RawRow[] = [];
  for await (const row of readRows(source)) rows.push(row);
  assert.deepEqual(rows, [
    { origin: { file: "hub:o/n/train.jsonl", line: 1 }, value: { prompt: "a", chosen: "b", rejected: "c" } },
  ]);
  const before = hub.downloads();
  assert.ok(before >= 1);
  const {
    files: [file],
  } = await fetchHubFiles({ repo: "o/n", folder: "", split: null }, source.hub);
  assert.equal(hub.downloads(), before);
  assert.equal(readFileSync(file?.path ?? "", "utf8"), content);
});

test("a download that is not what the hub promised is refused and not kept", async () => {
  const other = mkdtempSync(join(cacheDirectory, "fresh-"));
  const options = {
    fetch: fakeHub(content.replace("a", "x")).fetch,
    cacheDirectory: other,
    hubUrl: "http://hub.invalid",
  };
  const id = { repo: "o/n", folder: "", split: null };
  await assert.rejects(fetchHubFiles(id, options), /hub:o\/n: .*or another checksum/);
  await assert.rejects(fetchHubFiles(id, options), /or another checksum/);
});

test("where the hub gives no checksum the size decides", async () => {
  const options = {
    fetch: fakeHub(content, content.length + 1, false).fetch,
    cacheDirectory: mkdtempSync(join(cacheDirectory, "sized-")),
    hubUrl: "http://hub.invalid",
  };
  const id = { repo: "o/n", folder: "", split: null };
  await assert.rejects(fetchHubFiles(id, options), /train\.jsonl came with 48 of 49 bytes/);
  const {
    files: [file],
  } = await fetchHubFiles(id, {
    ...options,
    fetch: fakeHub(content, content.length, false).fetch,
  });
  assert.equal(readFileSync(file?.path ?? "", "utf8"), content);
});

test("without a network the error says what to do", async () => {
  const fetch = async (): Promise<Response> => {
    throw new TypeError("fetch failed", { cause: new Error("getaddrinfo ENOTFOUND") });
  };
  await assert.rejects(fetchHubFiles({ repo: "o/n", folder: "", split: null }, { fetch }), {
    name: "HubError",
    message:
      "hub:o/n: expected to fetch this data set from the hub, but: fetch failed (getaddrinfo ENOTFOUND). " +
      "Check the name, HF_TOKEN for a gated one, and the network; or download the files and give their path.",
  });
});

test("an unknown data set gives the hub's status", async () => {
  const fetch = async (): Promise<Response> => new Response("{}", { status: 404 });
  await assert.rejects(fetchHubFiles({ repo: "o/n", folder: "", split: null }, { fetch }), /\(status 404\)/);
});
