import assert from "node:assert/strict";
import { test } from "node:test";
import { directLayers, folderTable, layerTable, replaceTable, rowsOf } from "./folder-table.ts";

const layers = { base: [], text: ["base"], data: ["text", "base"], cli: ["data", "text", "base"] };
const document = `# Map

<!-- table: layers -->

| [text](src/text) | Words: [a.ts](src/text/a.ts) | x |  | 1,300 |
| [gone](src/gone) | Was here. | x |  | 100 |

<!-- end -->

| [docs](docs) | Pages |
`;

test("a folder's imports leave out what another of them brings", () => {
  assert.deepEqual(directLayers(layers, "cli"), ["data"]);
  assert.deepEqual(directLayers(layers, "base"), []);
});

test("the handwritten parts of rows are read and kept, new folders get a row, gone ones lose it", () => {
  const known = rowsOf(document);
  assert.deepEqual(known.get("src/text"), { holds: "Words: [a.ts](src/text/a.ts)", budget: 1300 });
  assert.deepEqual(known.get("docs"), { holds: "Pages", budget: undefined });
  const lines = new Map([
    ["data", 1490],
    ["text", 900],
    ["base", 10],
    ["main", 5],
  ]);
  const table = layerTable(layers, ["text"], lines, known);
  assert.deepEqual(table.split("\n").slice(2), [
    "| [base](src/base) | ? | – |  | 100 |",
    "| [text](src/text) | Words: [a.ts](src/text/a.ts) | base | never | 1,300 |",
    "| [data](src/data) | ? | text |  | 1,600 |",
    "| [main](src/main) | ? | all |  | 100 |",
  ]);
  const written = replaceTable(document, "layers", table);
  assert.equal(
    replaceTable(written, "layers", layerTable(layers, ["text"], lines, rowsOf(written))),
    written,
  );
  assert.throws(() => replaceTable("no table", "layers", table), /expected "<!-- table: layers -->"/);
});

test("folders outside src have a sentence and no more", () => {
  assert.equal(
    folderTable(["docs", "test"], rowsOf(document)),
    "| Folder | Holds |\n| --- | --- |\n| [docs](docs) | Pages |\n| [test](test) | ? |",
  );
});
