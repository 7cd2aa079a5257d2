/** How vitepress builds the pages: plain HTML with links that are relative, so that it works from the disk too. */
import { posix } from "node:path";
import { defineConfig } from "vitepress";
import { anchorOf } from "../../scripts/markdown-links.ts";
import { contents } from "./contents.ts";

/** Addresses from the site's root, relative to the page `path`. */
function relativeLinks(html: string, path: string): string {
  const up = posix.relative(posix.dirname(path), ".") || ".";
  // preloading asks in a way that browsers refuse from the disk
  const plain = html.replaceAll('rel="preload stylesheet"', 'rel="stylesheet"').replaceAll(' as="style"', "");
  return plain.replaceAll(/ (href|src)="\/(?!\/)/g, ` $1="${up}/`);
}

// biome-ignore lint/style/noDefaultExport: vitepress takes its configuration so
export default defineConfig({
  title: "preftune",
  description: "Preference-optimisation training of language models in TypeScript",
  lang: "en",
  srcDir: "./.pages",
  outDir: "./dist",
  cacheDir: "./.pages/.cache",
  mpa: true,
  cleanUrls: false,
  lastUpdated: false,
  markdown: {
    html: false,
    anchor: { slugify: anchorOf },
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
  },
  themeConfig: { contents },
  vite: { build: { chunkSizeWarningLimit: 4096 } },
  transformHtml: (html, id) => relativeLinks(html, posix.relative(`${import.meta.dirname}/../dist`, id)),
});
