/** Names that distinguish runs. */

/** Runs of one name are distinguished by as much of their directories' ends as it takes. */
export function differentNames(names: readonly string[], dirs: readonly string[]): string[] {
  return names.map((name, i) => {
    const alike = dirs.filter((_, n) => names[n] === name).map(partsOf);
    const own = partsOf(dirs[i] ?? "");
    if (alike.length === 1 || own.length === 0) return name;
    const isOwn = (depth: number): boolean =>
      alike.filter((parts) => endOf(parts, depth) === endOf(own, depth)).length === 1;
    const depth = own.findIndex((_, n) => n > 0 && isOwn(n + 1)) + 1;
    return endOf(own, depth === 0 ? own.length : depth);
  });
}

function partsOf(dir: string): string[] {
  return dir.split("/").filter(Boolean);
}

function endOf(parts: readonly string[], depth: number): string {
  return parts.slice(-depth).join("/");
}
