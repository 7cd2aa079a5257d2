/** Which versions of the system's libraries a shared library needs. */
import { spawnSync } from "node:child_process";

/** The newest version of each family of symbols (GLIBC, GLIBCXX, CXXABI) that the file at `path` needs, as readelf names them. */
export function newestSymbols(path: string): Record<string, string> {
  const { status, stdout, stderr } = spawnSync("readelf", ["-V", "-W", path], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(`readelf -V ${path}: ${stderr}`);
  return newestIn(stdout);
}

/** The newest version of each family in the words of `readelf -V`. */
export function newestIn(text: string): Record<string, string> {
  const newest: Record<string, string> = {};
  for (const [, family = "", version = ""] of text.matchAll(/\b(GLIBC|GLIBCXX|CXXABI)_(\d+(?:\.\d+)*)\b/g)) {
    const before = newest[family];
    if (before === undefined || version.localeCompare(before, "en", { numeric: true }) > 0)
      newest[family] = version;
  }
  return newest;
}
