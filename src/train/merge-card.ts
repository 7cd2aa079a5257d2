/** The card of a merged model: what it is made of, how much of that, and how it was checked. */
import { basename, dirname, join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { isFolder } from "../base/open-file.ts";
import { licenseOf } from "../gguf/license.ts";
import type { MergeMeasure } from "./merge-gate.ts";

/** What a model was merged of. */
export interface Merged {
  /** The base and what was put into it, each as it was named, without a scale. */
  base: string;
  adapter: string;
  /** How much of the adapter was taken. */
  scale: number;
  /** Directory of the base. */
  baseDir: string;
  dtype: string;
  version: string;
}

/** Writes README.md into the directory of the model, with the base's licence. */
export function writeMergeCard(
  directory: string,
  { base, adapter, scale, baseDir, dtype, version }: Merged,
  { of, tokens, maxDifference, meanDifference }: MergeMeasure,
): void {
  const license = licenseOf(baseDir).name;
  const head = ["library_name: transformers", ...(license === null ? [] : [`license: ${license}`])];
  const [start, trained] = [shortName(base), shortName(adapter)];
  const text = `---
${head.join("\n")}
---

# ${start} with ${trained}

${start} with ${trained} merged in by preftune ${version}, at adapter_scale ${scale}: 0 is the start, 1 all of ${trained}. The weights are ${dtype}.

${tokens} ${of ?? "log-probs"} were compared with those of the two, from exactly these files: largest difference ${maxDifference}, mean ${meanDifference}.
`;
  writeFileAtomic(join(directory, "README.md"), text);
}

/** A hub id as it is; of a directory its name and that of the one above it. */
function shortName(place: string): string {
  return isFolder(place) ? join(basename(dirname(place)), basename(place)) : place;
}
