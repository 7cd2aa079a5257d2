/** Fuzzing of zstd files (row 18). */
import { test } from "node:test";
import { zstdFiles } from "../support/fuzz-compressed.ts";
import { fuzz } from "../support/fuzz-data.ts";

test("zstd", () => fuzz(zstdFiles, 300, 500_000));
