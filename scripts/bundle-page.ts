/** Bundles the dashboard's page: its script with Preact and uPlot, and its style. `npm run build` writes the result into the package. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const page = join(import.meta.dirname, "..", "src", "dashboard", "page");

/** The page's script and style as text. */
export async function bundlePage(): Promise<{ script: string; style: string }> {
  const { outputFiles } = await build({
    entryPoints: { page: join(page, "main.tsx"), style: join(page, "page.css") },
    bundle: true,
    minify: true,
    write: false,
    outdir: page,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    conditions: ["browser"],
    logLevel: "silent",
    legalComments: "eof",
  });
  const text = (end: string): string => outputFiles.find(({ path }) => path.endsWith(end))?.text ?? "";
  return { script: text("page.js"), style: text("style.css") };
}

/** Writes both into a folder. */
export async function writePage(folder: string): Promise<void> {
  const { script, style } = await bundlePage();
  writeFileSync(join(folder, "page.js"), script);
  writeFileSync(join(folder, "page.css"), style);
}
