/**
 * Bundles the dashboard's page: its scripts with Preact and uPlot, and its style. What a screen imports on demand is a separate file.
 * `npm run build` writes the result into the package.
 */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build, type Plugin } from "esbuild-wasm";
import { REPORT_STYLE } from "../src/report/style-sheet.ts";
import { trimUPlot } from "./trim-uplot.ts";

const root = join(import.meta.dirname, "..");
const page = join(root, "src", "dashboard", "page");

/** The page's files as text. */
export interface PageBundle {
  /** By name; `page.js` is the one that starts the page. */
  scripts: Readonly<Record<string, string>>;
  /** For each script, the others that are loaded with it, at once. */
  needs: Readonly<Record<string, readonly string[]>>;
  style: string;
  /** Of what is in them. */
  licences: string;
  /** The files they were made of, by their path from the root, with those that say how. */
  inputs: readonly string[];
}

/** What decides the bundle besides the files that are bundled. */
const makers = [
  "scripts/bundle-page.ts",
  "scripts/trim-uplot.ts",
  "src/report/style-sheet.ts",
  "node_modules/esbuild-wasm/package.json",
];

/** Bundles the page. */
export async function bundlePage(): Promise<PageBundle> {
  const { outputFiles, metafile } = await build({
    entryPoints: { page: join(page, "main.tsx"), style: join(page, "page.css") },
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    outdir: page,
    format: "esm",
    target: "es2022",
    // a call for each element, which is shorter than an object with its children
    inject: [join(page, "jsx.ts")],
    tsconfigRaw: { compilerOptions: { jsx: "react", jsxFactory: "h", jsxFragmentFactory: "Fragment" } },
    plugins: [trimUPlot, reportStyle],
    conditions: ["browser"],
    logLevel: "silent",
    legalComments: "eof",
    metafile: true,
    absWorkingDir: root,
  });
  const files = outputFiles.map(({ path, text }) => [basename(path), text] as const);
  const needs = Object.entries(metafile.outputs).map(([path, { imports }]) => [
    basename(path),
    imports.filter(({ kind }) => kind === "import-statement").map((one) => basename(one.path)),
  ]);
  return {
    scripts: Object.fromEntries(files.filter(([name]) => name.endsWith(".js"))),
    needs: Object.fromEntries(needs),
    style: files.find(([name]) => name === "style.css")?.[1] ?? "",
    licences: licencesOf(Object.keys(metafile.inputs)),
    inputs: [...Object.keys(metafile.inputs).filter((path) => !path.includes(":")), ...makers].sort(),
  };
}

/** `@import "report"` in a style: the reports' style sheet. */
const reportStyle: Plugin = {
  name: "report-style",
  setup: (build) => {
    build.onResolve({ filter: /^report$/ }, ({ path }) => ({ path, namespace: "style" }));
    build.onLoad({ filter: /^report$/, namespace: "style" }, () => ({
      contents: REPORT_STYLE,
      loader: "css",
    }));
  },
};

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
  const { scripts, style, licences } = await bundlePage();
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, "page.css"), style);
  writeFileSync(join(folder, "LICENCES.txt"), licences);
}
