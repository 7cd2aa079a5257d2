/** Fuzzing of CSV and TSV. What is read has the columns of the first line in every row, all of them text. */
import { test } from "node:test";
import type { RawRow } from "../../src/data/example.ts";
import { fuzz, valuesOf } from "../support/fuzz-data.ts";

const csv = [
  'prompt,chosen,rejected\nThe sky is, blue., green.\n"a, ""b""","two\nlines",c\n',
  '\ufeffprompt,"chosen",tools\r\n"[{""role"": ""user"", ""content"": ""x""}]",ü,"[1, 2]"\r\n,,\r\n\r\na,b,c',
  "a\n1\n2\n3\n",
].map((text) => Buffer.from(text));
const pieces = [
  '"',
  '""',
  ",",
  "\n",
  "\r\n",
  "\r",
  "\t",
  ";",
  "\ufeff",
  "\u0000",
  "__proto__,",
  'a,"',
  "prompt,",
].map((text) => Buffer.from(text));

function uneven(rows: readonly RawRow[]): string | null {
  const [first, ...others] = valuesOf(rows);
  const columns = Object.keys(first ?? {}).join("\n");
  const isEven = others.every((value) => Object.keys(value ?? {}).join("\n") === columns);
  const isText = [first ?? {}, ...others].every((value) =>
    Object.values(value ?? {}).every((cell) => typeof cell === "string"),
  );
  return isEven && isText ? null : "rows with other columns, or what is no text";
}

test("CSV", async () => {
  await fuzz({ name: "CSV", ending: "csv", seeds: csv, pieces, untrue: uneven }, 300, 500_000);
});

test("TSV", async () => {
  const seeds = csv.map((file) => Buffer.from(file.toString().replaceAll(",", "\t")));
  await fuzz({ name: "TSV", ending: "tsv", seeds, pieces, untrue: uneven }, 300, 500_000);
});
