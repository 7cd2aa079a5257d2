/** Fuzzing of JSON lists (row 18). */
import { test } from "node:test";
import { fuzz } from "../support/fuzz-data.ts";
import { jsonLists } from "../support/fuzz-json.ts";

test("JSON lists", () => fuzz(jsonLists, 400, 1_000_000));
