/** ARCHITECTURE.md's tree of files: read, compared with the disk, and written. */

/** A file of the tree and its one line. */
export interface ListedFile {
  path: string;
  description: string;
}

/** What the comparison found, each a list of paths. */
export interface ArchitectureFindings {
  /** On disk, but not in the document. */
  unlisted: string[];
  /** In the document, but not on disk. */
  absent: string[];
  /** Listed more than once. */
  repeated: string[];
  /** Listed without a word about them. */
  undescribed: string[];
}

const treeBlock = /^```tree\n([\s\S]*?)^```/m;

/** Lines of a tree: `  name.ts   what it is`, the folder given by the indentation of the lines `name/` above. */
function parseTree(lines: readonly string[]): { files: ListedFile[]; folders: ListedFile[] } {
  const files: ListedFile[] = [];
  const folders: ListedFile[] = [];
  const open: { indent: number; name: string }[] = [];
  for (const line of lines) {
    const [, { length: indent } = "", name = "", description = ""] = /^(\s*)(\S+)\s*(.*)$/.exec(line) ?? [];
    if (name === "") continue;
    while ((open.at(-1)?.indent ?? -1) >= indent) open.pop();
    const path = open.map((folder) => folder.name).join("") + name;
    if (name.endsWith("/")) {
      open.push({ indent, name });
      folders.push({ path, description });
    } else files.push({ path, description });
  }
  return { files, folders };
}

/**
 * The files ARCHITECTURE.md lists, from its fenced block marked `tree`.
 *
 * @example
 * src/
 *   base/                 a folder; what follows it is free text
 *     errors.ts           a file; what follows it is its one line
 */
export function listedFiles(markdown: string): ListedFile[] {
  return parseTree((treeBlock.exec(markdown)?.[1] ?? "").split("\n")).files;
}

/** Compares the document with the files that are there. */
export function compareArchitecture(markdown: string, files: readonly string[]): ArchitectureFindings {
  const entries = listedFiles(markdown);
  const listed = new Set(entries.map((entry) => entry.path));
  const present = new Set(files);
  return {
    unlisted: files.filter((file) => !listed.has(file)),
    absent: [...listed].filter((path) => !present.has(path)),
    repeated: entries.map((entry) => entry.path).filter((path, i, all) => all.indexOf(path) !== i),
    undescribed: entries.filter((entry) => entry.description === "").map((entry) => entry.path),
  };
}

/** First sentence of the comment a file opens with, without its end point; empty when it opens with none. */
export function openingSentence(source: string): string {
  const body = source.replace(/^#!.*\n/, "");
  const block = /^\/\*\*?([\s\S]*?)\*\//.exec(body)?.[1];
  const comment = block ?? /^(?:(?:\/\/|#|""").*\n)+/.exec(body)?.[0] ?? "";
  const text = comment
    .split("\n")
    .map((line) => line.replace(/^\s*(\*|\/\/|#\s|""")\s?/, "").trim())
    .filter((line) => !line.startsWith("#pragma"))
    .join(" ")
    .trim();
  return (/^(.*?)(?:\.(?:\s|$)|:\s*$|$)/.exec(text)?.[1] ?? text).replace(/\s+/g, " ");
}

/**
 * The document with its tree listing exactly `files`. Lines that are there are kept; `describe` gives the others'.
 *
 * A document without a tree gets one at its end.
 */
export function writeTree(
  markdown: string,
  files: readonly string[],
  describe: (path: string) => string,
): string {
  const old = parseTree((treeBlock.exec(markdown)?.[1] ?? "").split("\n"));
  const known = new Map([...old.files, ...old.folders].map((entry) => [entry.path, entry.description]));
  const lines: string[] = [];
  const show = (path: string, name: string, description: string) => {
    const indent = "  ".repeat(path.replace(/\/$/, "").split("/").length - 1);
    lines.push(
      `${indent}${name}`
        .padEnd(34)
        .concat(description === "" ? "" : ` ${description}`)
        .trimEnd(),
    );
  };
  let open: string[] = [];
  for (const file of files) {
    const parts = file.split("/");
    const name = parts.pop() ?? file;
    parts.forEach((part, depth) => {
      if (open[depth] === part) return;
      const folder = `${parts.slice(0, depth + 1).join("/")}/`;
      show(folder, `${part}/`, known.get(folder) ?? "");
      open = parts.slice(0, depth + 1);
    });
    open = parts;
    show(file, name, known.get(file) || describe(file));
  }
  const block = `\`\`\`tree\n${lines.join("\n")}\n\`\`\``;
  if (treeBlock.test(markdown)) return markdown.replace(treeBlock, () => block);
  return `${markdown.trimEnd()}\n\n${block}\n`.trimStart();
}
