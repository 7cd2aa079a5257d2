/**
 * The dashboard's page in a checkout, bundled once for its sources: kept in `.preftune/page.json` with the digest of each file that it was
 * made of, and made again when one of these is another.
 */
import { join } from "node:path";
import { PreftuneError } from "../src/base/errors.ts";
import { readTextFile, sha256File, writeFileAtomic } from "../src/base/files.ts";
import { packageRoot, stateFolder } from "../src/setup/places.ts";
import { bundlePage, type PageBundle } from "./bundle-page.ts";

/** A bundle and the digests of its files, by their path from the root. */
interface KeptPage {
  madeOf: Readonly<Record<string, string>>;
  bundle: Omit<PageBundle, "inputs">;
}

/** The bundle as `bundlePage` makes it. Where it cannot be kept it is made each time. */
export async function keptPage(
  place: string = join(stateFolder(), "page.json"),
): Promise<KeptPage["bundle"]> {
  const kept = keptIn(place);
  if (kept !== null) return kept;
  const { inputs, ...bundle } = await bundlePage();
  const madeOf = Object.fromEntries(inputs.map((path) => [path, sha256File(join(packageRoot, path))]));
  try {
    writeFileAtomic(place, JSON.stringify({ madeOf, bundle } satisfies KeptPage));
  } catch (error) {
    if (!(error instanceof PreftuneError)) throw error;
  }
  return bundle;
}

/** What is kept, if the files are those that it was made of. */
function keptIn(place: string): KeptPage["bundle"] | null {
  try {
    const { madeOf, bundle } = JSON.parse(readTextFile(place)) as KeptPage;
    const files = Object.entries(madeOf);
    const isAsThen = ([path, digest]: [string, string]): boolean =>
      sha256File(join(packageRoot, path)) === digest;
    return files.length > 0 && files.every(isAsThen) ? bundle : null;
  } catch {
    return null;
  }
}
