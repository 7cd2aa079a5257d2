/** Fuzzing of JSON lines (row 18). */
import { test } from "node:test";
import { fuzz } from "../support/fuzz-data.ts";
import { jsonLines } from "../support/fuzz-json.ts";

test("JSON lines", () => fuzz(jsonLines, 400, 1_000_000));
