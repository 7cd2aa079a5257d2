/** Fuzzing of Parquet files (row 18), part 2. */
import { test } from "node:test";
import { fuzz } from "../support/fuzz-data.ts";
import { parquetFiles } from "../support/fuzz-parquet.ts";

test("Parquet", () => fuzz({ ...parquetFiles, part: 2 }, 300, 500_000));
