/**
 * The page's files: one of HTML, one of script, two of style. The script is bundled when the package is built; in a checkout, when the
 * dashboard starts.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readTextFile } from "../base/files.ts";
import { REPORT_STYLE } from "../report/style-sheet.ts";

/** The files by their path in an address. */
export type PageFiles = Readonly<Record<"/" | "/page.js" | "/page.css" | "/report.css", string>>;

const folder = join(import.meta.dirname, "page");

/** Reads or makes the files. */
export async function pageFiles(): Promise<PageFiles> {
  const html = readTextFile(join(folder, "index.html"));
  const { script, style } = existsSync(join(folder, "page.js")) ? built() : await bundled();
  return { "/": html, "/page.js": script, "/page.css": style, "/report.css": REPORT_STYLE };
}

interface Bundle {
  script: string;
  style: string;
}

function built(): Bundle {
  return { script: readTextFile(join(folder, "page.js")), style: readTextFile(join(folder, "page.css")) };
}

async function bundled(): Promise<Bundle> {
  // the bundler and what it bundles are packages of a checkout; the published package has the result
  const bundler = new URL("../../scripts/bundle-page.ts", import.meta.url).href;
  const { bundlePage } = (await import(bundler)) as { bundlePage: () => Promise<Bundle> };
  return await bundlePage();
}
