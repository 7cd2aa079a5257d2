/** The manual's Markdown as pages of the site: where each page stands, and where its links lead. */
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, normalize, relative } from "node:path";
import { anchorOf } from "../scripts/markdown-links.ts";

/** A page. */
export interface SitePage {
  /** Its file in the repository. */
  source: string;
  /** Its file in the site, with `.md`. */
  path: string;
  title: string;
  text: string;
}

/** A site's content. */
export interface SiteContent {
  pages: SitePage[];
  /** Files of the repository that pages link to and that are no pages. */
  files: string[];
  /** Pictures that pages show; each stands in the site as in docs. */
  pictures: string[];
  /** Links that lead nowhere, a sentence each. */
  dead: string[];
}

/** Pages from outside docs, and the first page, by their file. */
const named: Readonly<Record<string, string>> = {
  "docs/start-here.md": "index.md",
  "README.md": "readme.md",
  "ARCHITECTURE.md": "architecture.md",
  "CONTRIBUTING.md": "contributing.md",
  "CHANGELOG.md": "changes.md",
};

/** A link `[text](path#anchor)`, whose text may have one pair of brackets in it. */
const link = /\[((?:[^[\]]|\[[^[\]]*\])*)\]\(([^()\s#]*)(#[^()\s]*)?\)/g;

/** Where a page, or a picture, of the repository stands in the site. */
export function placeOf(source: string): string {
  return named[source] ?? relative("docs", source);
}

/** `text` outside of fenced blocks, changed by `change`; the blocks stay. */
function outsideBlocks(text: string, change: (part: string) => string): string {
  return text
    .split(/(^```[\s\S]*?^```$)/m)
    .map((part) => (part.startsWith("```") ? part : change(part)))
    .join("");
}

/** The pages of the manual in the repository at `root`. */
export function siteContent(root: string): SiteContent {
  const sources = globSync(["docs/*.md", "docs/decisions/*.md", ...Object.keys(named)], { cwd: root });
  const places = new Map([...new Set(sources)].sort().map((source) => [source, placeOf(source)]));
  const files = new Set<string>();
  const pictures = new Set<string>();
  const dead: string[] = [];
  const pages = [...places].map(([source, path]) => {
    const markdown = readFileSync(join(root, source), "utf8");
    const target = (address: string, whole: string, label: string): string => {
      const to = normalize(join(dirname(source), address));
      const page = places.get(to);
      if (page !== undefined) return `[${label}](${relative(dirname(path), page)}`;
      if (!existsSync(join(root, to))) dead.push(`${source}: ${whole}`);
      else if (to.endsWith(".png")) {
        pictures.add(to);
        return `[${label}](./${relative(dirname(path), placeOf(to))}`;
      } else if (!statSync(join(root, to)).isDirectory()) {
        files.add(to);
        return `[${label}](${relative(dirname(path), "files")}/${to}.txt`;
      }
      return "";
    };
    const linked = outsideBlocks(markdown.replace(/<!--[\s\S]*?-->\n?/g, ""), (part) =>
      part.replaceAll(link, (whole, label: string, address: string, anchor = "") => {
        if (address === "" || /^[a-z]+:/.test(address)) return whole;
        const begun = target(address, whole, label);
        return begun === "" ? label : `${begun}${begun.endsWith(".txt") ? "" : anchor})`;
      }),
    );
    const title = /^# (.*)$/m.exec(linked)?.[1]?.replaceAll("`", "") ?? basename(path, ".md");
    return { source, path, title, text: linked };
  });
  return { pages, files: [...files].sort(), pictures: [...pictures].sort(), dead };
}

/** A part of a page that a search finds. */
export interface SearchEntry {
  page: string;
  heading: string;
  url: string;
  text: string;
}

/** The parts of all pages, each under its heading. */
export function searchEntries(pages: readonly SitePage[]): SearchEntry[] {
  return pages.flatMap(({ path, title, text }) => {
    const url = path.replace(/\.md$/, ".html");
    const parts = text
      .replace(/^```[\s\S]*?^```$/gm, (block) => block.replaceAll(/^#/gm, " #"))
      .split(/^#+ /m);
    return parts.slice(1).map((part, i) => {
      const [heading = "", ...lines] = part.split("\n");
      const plain = lines
        .join(" ")
        .replace(link, "$1")
        .replaceAll(/[`*|]|```\w*/g, " ")
        .replaceAll(/-{3,}/g, " ")
        .replaceAll(/\s+/g, " ");
      return {
        page: title,
        heading: i === 0 ? "" : heading.replaceAll("`", ""),
        url: i === 0 ? url : `${url}#${anchorOf(heading)}`,
        text: plain.trim(),
      };
    });
  });
}
