/** Hugging Face's Python libraries find what was fetched here, in the cache that both use. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { resolveModelDirectory } from "../../src/hub/hub-model.ts";
import { fakeModelHub } from "../support/fake-hub.ts";
import { peersPython, skipWithoutPeers } from "../support/peers.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const program = `
import json, sys
from huggingface_hub import scan_cache_dir, snapshot_download
cache = sys.argv[1]
info = scan_cache_dir(cache)
[repo] = info.repos
[revision] = repo.revisions
print(json.dumps({
    "warnings": [str(w) for w in info.warnings],
    "repo": [repo.repo_type, repo.repo_id],
    "refs": sorted(revision.refs),
    "commit": revision.commit_hash,
    "files": sorted(str(f.file_path.relative_to(revision.snapshot_path)) for f in revision.files),
    "found": snapshot_download("o/n", cache_dir=cache, local_files_only=True),
}))
`;

test("huggingface_hub reads the cache as its own", { skip: skipWithoutPeers() }, async () => {
  using cache = temporaryDirectory();
  const commit = "a".repeat(40);
  const files = {
    "additional_chat_templates/tool_use.jinja": "{{ tools }}",
    "config.json": "{}",
    "model.safetensors": "weights",
    "tokenizer.json": "{}",
  };
  const hub = fakeModelHub("o/n", { [commit]: files });
  const directory = await resolveModelDirectory("o/n", {
    fetch: hub.fetch,
    hubUrl: "http://hub.invalid",
    cacheDirectory: cache.path,
  });
  const { status, stdout, stderr } = spawnSync(peersPython() ?? "", ["-c", program, cache.path], {
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
  });
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), {
    warnings: [],
    repo: ["model", "o/n"],
    refs: ["main"],
    commit,
    files: Object.keys(files),
    found: directory,
  });
  assert.equal(directory, join(cache.path, "models--o--n", "snapshots", commit));
});
