/** Bundles the dashboard's page: its script with Preact and uPlot, and its style. `npm run build` writes the result into the package. */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild-wasm";

const root = join(import.meta.dirname, "..");
const page = join(root, "src", "dashboard", "page");

/** The page's script and style as text, and the licences of what is in them. */
export async function bundlePage(): Promise<{ script: string; style: string; licences: string }> {
  const { outputFiles, metafile } = await build({
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
    metafile: true,
    absWorkingDir: root,
  });
  const text = (end: string): string => outputFiles.find(({ path }) => path.endsWith(end))?.text ?? "";
  const licences = licencesOf(Object.keys(metafile.inputs));
  return { script: text("page.js"), style: text("style.css"), licences };
}

/** The licences of the packages that files are from. */
function licencesOf(files: readonly string[]): string {
  const packages = files.flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []);
  const texts = [...new Set(packages)].sort().map((name) => {
    const folder = join(root, "node_modules", name);
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
    const [file] = globSync("LICEN[CS]E*", { cwd: folder });
    if (file === undefined) throw new Error(`${name} is bundled and has no licence file`);
    return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  return `The page is bundled with these packages.\n\n${texts.join("\n\n")}`;
}

/** Writes them into a folder. */
export async function writePage(folder: string): Promise<void> {
  const { script, style, licences } = await bundlePage();
  writeFileSync(join(folder, "page.js"), script);
  writeFileSync(join(folder, "page.css"), style);
  writeFileSync(join(folder, "LICENCES.txt"), licences);
}
