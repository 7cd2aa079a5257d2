/** Fuzzing of gzip files (row 18). */
import { test } from "node:test";
import { gzipFiles } from "../support/fuzz-compressed.ts";
import { fuzz } from "../support/fuzz-data.ts";

test("gzip", () => fuzz(gzipFiles, 300, 500_000));
