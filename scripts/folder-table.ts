/**
 * The two tables of ARCHITECTURE.md that follow from the tree: the layers of `src`, made from the rules that
 * dependency-cruiser checks, and the other folders.
 *
 * A row's sentence and budget are written by hand in the document and kept; everything else is made here.
 */

/** Folder of `src` -> the folders it may import. */
export type Layers = Record<string, readonly string[]>;

/** What is written by hand in a row. */
export interface FolderRow {
  /** What the folder holds, with links to its doors; "?" until someone writes it. */
  holds: string;
  /** Most lines of source, tests and generated files left out; undefined for folders outside `src`. */
  budget: number | undefined;
}

/** What a new row says until someone writes its sentence. */
export const UNDESCRIBED = "?";

const number = (text: string) => Number(text.replaceAll(",", ""));

/** Handwritten parts of the rows of all tables, by folder ("src/base"). */
export function rowsOf(markdown: string): Map<string, FolderRow> {
  const rows = markdown.matchAll(/^\| \[[^\]]*\]\(([^)]*?)\/?\) \| (.*?) \|(?: .*? \| ([\d,]+) \|)?$/gm);
  return new Map(
    [...rows].map(([, folder = "", holds = "", budget]) => [
      folder,
      { holds, budget: budget === undefined ? undefined : number(budget) },
    ]),
  );
}

/** Everything a folder may reach through the folders it imports. */
function reachable(layers: Layers, folder: string): Set<string> {
  const direct = layers[folder] ?? [];
  return new Set(direct.flatMap((other) => [other, ...reachable(layers, other)]));
}

/** The folders a folder may import, less those that one of the others brings along. */
export function directLayers(layers: Layers, folder: string): string[] {
  const allowed = layers[folder] ?? [];
  return allowed.filter(
    (other) => !allowed.some((via) => via !== other && reachable(layers, via).has(other)),
  );
}

/** Length of the longest way down: 0 for a folder that imports none. */
function height(layers: Layers, folder: string): number {
  return Math.max(-1, ...(layers[folder] ?? []).map((other) => height(layers, other))) + 1;
}

/** The next hundred lines that leave a little room. */
export function budgetFor(lines: number): number {
  return Math.ceil((lines * 1.02) / 100) * 100;
}

/**
 * The table of `src`, lowest layer first.
 *
 * @param lines - lines of source in each folder that is on disk
 * @param libtorchFree - folders that must not reach libtorch
 */
export function layerTable(
  layers: Layers,
  libtorchFree: readonly string[],
  lines: ReadonlyMap<string, number>,
  known: ReadonlyMap<string, FolderRow>,
): string {
  const order = [...lines.keys()].sort((a, b) => height(layers, a) - height(layers, b) || (a < b ? -1 : 1));
  // a folder without a rule may import everything, as the command line does
  const rows = order
    .filter((folder) => folder in layers)
    .concat(order.filter((folder) => !(folder in layers)))
    .map((folder) => {
      const { holds, budget } = known.get(`src/${folder}`) ?? { holds: UNDESCRIBED, budget: undefined };
      const imports = folder in layers ? directLayers(layers, folder).join(", ") || "–" : "all";
      const most = (budget ?? budgetFor(lines.get(folder) ?? 0)).toLocaleString("en-US");
      return `| [${folder}](src/${folder}) | ${holds} | ${imports} | ${libtorchFree.includes(folder) ? "never" : ""} | ${most} |`;
    });
  return [
    "| src/ | Holds | Imports | libtorch | Lines at most |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

/** The table of the folders outside `src`. */
export function folderTable(folders: readonly string[], known: ReadonlyMap<string, FolderRow>): string {
  const rows = folders.map(
    (folder) => `| [${folder}](${folder}) | ${known.get(folder)?.holds ?? UNDESCRIBED} |`,
  );
  return ["| Folder | Holds |", "| --- | --- |", ...rows].join("\n");
}

/** The document with the text between `<!-- table: NAME -->` and `<!-- end -->` replaced. */
export function replaceTable(markdown: string, name: string, table: string): string {
  const block = new RegExp(`(<!-- table: ${name} -->\n\n)[\\s\\S]*?(\n\n<!-- end -->)`);
  if (!block.test(markdown))
    throw new Error(`ARCHITECTURE.md: expected "<!-- table: ${name} -->", a table and "<!-- end -->"`);
  return markdown.replace(block, (_, begin: string, end: string) => `${begin}${table}${end}`);
}
