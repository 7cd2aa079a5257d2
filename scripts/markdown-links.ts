/** Links and paths of the project's Markdown files, and which of them lead nowhere. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";

/** A relative link `[text](path#anchor)` of a Markdown file. */
export interface Link {
  text: string;
  /** As written, without the anchor; empty for a link within the page. */
  path: string;
  /** Heading that is linked to; empty without one. */
  anchor: string;
}

/** Folders whose files are named by path in the documents. */
const sources = "src|native|test|scripts|docs|examples|recipes|bin|studies|toy";
const mentioned = new RegExp(`(?<![\\w./-])(?:${sources})/[\\w./-]*\\w\\.[a-z]+(?![\\w*{/])`, "g");

/** Relative links of a page, in order. Web addresses are left out. */
export function linksOf(markdown: string): Link[] {
  return [...markdown.matchAll(/\[([^\][]*)\]\(([^()\s#]*)(?:#([^()\s]*))?\)/g)]
    .map(([, text = "", path = "", anchor = ""]) => ({ text, path, anchor }))
    .filter((link) => !/^[a-z]+:/.test(link.path));
}

/** Files that a page names by their path from the root, linked or not. */
export function pathsOf(markdown: string): string[] {
  return [...new Set(markdown.match(mentioned))];
}

/** Anchor of a heading, as GitHub makes it. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .trim()
    .replaceAll(" ", "-");
}

/** Anchors of a page's headings. */
export function anchorsOf(markdown: string): string[] {
  const headings = markdown.replace(/^```[\s\S]*?^```/gm, "").matchAll(/^#+ +(.*)$/gm);
  return [...headings].map(([, heading = ""]) => anchorOf(heading));
}

/** The pages that are checked: records of decisions describe the past and are left alone. */
export function documentsOf(root: string): string[] {
  return globSync(["*.md", "docs/*.md"], { cwd: root }).sort();
}

/**
 * What is wrong with a page's links and paths, a sentence each.
 *
 * @param page - path from the root, whose links are relative to its folder
 */
export function brokenLinks(root: string, page: string): string[] {
  const markdown = readFileSync(join(root, page), "utf8");
  const complaints: string[] = [];
  for (const { text, path, anchor } of linksOf(markdown)) {
    const target = path === "" ? page : normalize(join(dirname(page), path));
    if (!existsSync(join(root, target))) complaints.push(`${page}: link "${text}": there is no ${target}`);
    else if (anchor !== "" && !anchorsOf(readFileSync(join(root, target), "utf8")).includes(anchor))
      complaints.push(`${page}: link "${text}": ${target} has no heading for #${anchor}`);
  }
  for (const path of pathsOf(markdown)) {
    if (!existsSync(join(root, path))) complaints.push(`${page}: there is no ${path}`);
  }
  return complaints;
}

/**
 * A page with the links and paths of moved files repaired: of those that are gone and whose name exactly one file
 * has now.
 *
 * @param files - all files of the project, from the root
 */
export function repairLinks(page: string, markdown: string, files: readonly string[]): string {
  const present = new Set(files);
  const moved = (path: string): string | undefined => {
    const named = files.filter((file) => basename(file) === basename(path));
    return present.has(path) || named.length !== 1 ? undefined : named[0];
  };
  const up = dirname(page) === "." ? "" : "../".repeat(dirname(page).split("/").length);
  let text = markdown;
  for (const { path } of linksOf(markdown)) {
    const place = path.endsWith(".ts") ? moved(normalize(join(dirname(page), path))) : undefined;
    if (place !== undefined) text = text.replaceAll(`(${path}`, `(${up}${place}`);
  }
  for (const path of pathsOf(text)) {
    const place = moved(path);
    if (place !== undefined) text = text.replaceAll(path, place);
  }
  return text;
}
