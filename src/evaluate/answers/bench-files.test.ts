/** Tests of bench-files.ts, with a hub in the place of `fetch`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError, FileError } from "../../base/errors.ts";
import { benchFile, openBench } from "./bench-files.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-bench-"));
after(() => rmSync(dir, { recursive: true, force: true }));

test("a directory: the first of the names that is there", async () => {
  const place = join(dir, "bench");
  mkdirSync(join(place, "folder.jsonl"), { recursive: true });
  writeFileSync(join(place, "b.jsonl"), "");
  const bench = await openBench(place);
  assert.equal(await bench.find(["a.jsonl", "folder.jsonl", "b.jsonl"]), join(place, "b.jsonl"));
  assert.equal(await benchFile(null, bench, ["b.jsonl"], "--b FILE"), join(place, "b.jsonl"));
  assert.equal(await benchFile("own.jsonl", bench, ["b.jsonl"], "--b FILE"), "own.jsonl");
  await assert.rejects(
    benchFile(null, bench, ["x", "y"], "--x FILE"),
    (error: unknown) =>
      error instanceof ConfigError && /expected x or y in it\. Name the file by --x FILE/.test(error.message),
  );
  await assert.rejects(benchFile(null, null, ["x"], "--x FILE"), /expected --bench DIR with x, or --x FILE/);
});

test("neither a directory nor a hub id", async () => {
  for (const place of ["no/such/place", join(dir, "bench", "b.jsonl"), "owner/name:split"]) {
    await assert.rejects(openBench(place), ConfigError, place);
  }
});

test("a data set of the hub: files are fetched when they are asked for, once", async () => {
  const files: Record<string, string> = { "data/v0/question.jsonl": "{}\n", "data/v0/judge.yaml": "a: 1\n" };
  const sent: string[] = [];
  const commit = "c".repeat(40);
  const hub = {
    cacheDirectory: join(dir, "cache"),
    hubUrl: "https://hub.test",
    fetch: (async (input: string | URL | Request) => {
      const path = decodeURIComponent(new URL(input instanceof Request ? input.url : input).pathname);
      if (path === "/api/datasets/owner/name/revision/main") {
        return Response.json({ _id: "1", id: "owner/name", sha: commit });
      }
      if (path.includes("/tree/")) {
        assert.equal(path, `/api/datasets/owner/name/tree/${commit}/data/v0`);
        return Response.json(
          Object.entries(files).map(([name, text]) => ({
            type: "file",
            path: name,
            size: text.length,
            oid: createHash("sha1").update(`blob ${text.length}\0${text}`).digest("hex"),
          })),
        );
      }
      const name = path.replace(`/datasets/owner/name/resolve/${commit}/`, "");
      sent.push(name);
      const text = files[name] ?? "";
      return new Response(text, {
        headers: {
          "content-length": String(text.length),
          "content-range": `bytes 0-0/${text.length}`,
          etag: `"${name}"`,
        },
      });
    }) as typeof fetch,
  };
  const bench = await openBench("hub:owner/name/data/v0", hub);
  assert.deepEqual(sent, []);
  const path = await bench.find(["missing.jsonl", "judge.yaml"]);
  assert.equal(readFileSync(path ?? "", "utf8"), "a: 1\n");
  const before = sent.length;
  assert.equal(await bench.find(["judge.yaml"]), path);
  assert.equal(sent.length, before);
  assert.equal(await bench.find(["other"]), null);
  await assert.rejects(
    openBench("owner/name", {
      ...hub,
      fetch: (() => Promise.reject(new TypeError("fetch failed"))) as typeof fetch,
    }),
    FileError,
  );
});
