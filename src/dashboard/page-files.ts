/**
 * The page's files: one of HTML, one of style, and scripts: one that starts the page, and those of screens that are loaded when they
 * are first shown. They are bundled when the package is built; in a checkout, when a dashboard starts and they are others than before.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readTextFile } from "../base/files.ts";

/** The files by their path in an address. */
export type PageFiles = Readonly<Record<string, string>>;

const folder = join(import.meta.dirname, "page");

/** Reads or makes the files. */
export async function pageFiles(): Promise<PageFiles> {
  const html = readTextFile(join(folder, "index.html"));
  const { scripts, style } = existsSync(join(folder, "page.js")) ? built() : await bundled();
  const named = Object.fromEntries(Object.entries(scripts).map(([name, text]) => [`/${name}`, text]));
  return { "/": html, ...named, "/page.css": style };
}

interface Bundle {
  scripts: Readonly<Record<string, string>>;
  style: string;
}

/** In the package the folder has no other scripts. */
function built(): Bundle {
  const names = readdirSync(folder).filter((name) => name.endsWith(".js"));
  return {
    scripts: Object.fromEntries(names.map((name) => [name, readTextFile(join(folder, name))])),
    style: readTextFile(join(folder, "page.css")),
  };
}

async function bundled(): Promise<Bundle> {
  // the bundler and what it bundles are packages of a checkout; the published package has the result
  const bundler = new URL("../../scripts/kept-page.ts", import.meta.url).href;
  const { keptPage } = (await import(bundler)) as { keptPage: () => Promise<Bundle> };
  return await keptPage();
}
