/** Fuzzing of Parquet files (row 18), part 1. */
import { test } from "node:test";
import { fuzz } from "../support/fuzz-data.ts";
import { parquetFiles } from "../support/fuzz-parquet.ts";

test("Parquet", () => fuzz({ ...parquetFiles, part: 1 }, 300, 500_000));
