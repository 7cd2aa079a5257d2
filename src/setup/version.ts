/** Versions of torch as they are written in its files, and whether they are new enough. */

/** The release installed when no torch is found. */
export const pinnedTorch = "2.13.0";

/** The oldest torch the addon compiles against. */
export const oldestTorch = "2.9";

/** What torch's `version.py` says. `cuda` is null for a build without CUDA. */
export interface TorchVersion {
  version: string;
  cuda: string | null;
}

/**
 * Version and CUDA release from the text of torch's `version.py`, or null when it has no version line.
 *
 * @example parseVersionFile("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n") // { version: "2.13.0+cpu", cuda: null }
 */
export function parseVersionFile(text: string): TorchVersion | null {
  const version = /^__version__\s*=\s*['"]([^'"]+)['"]/m.exec(text)?.[1];
  if (version === undefined) return null;
  return { version, cuda: /^cuda\b[^=\n]*=\s*['"]([^'"]+)['"]/m.exec(text)?.[1] ?? null };
}

/** Version of an unzipped libtorch from its `build-version` file, `2.13.0+cu128` say; null when the text is no version. */
export function parseBuildVersion(text: string): TorchVersion | null {
  const version = /^\d+\.\d+\S*/.exec(text.trim())?.[0];
  if (version === undefined) return null;
  const digits = /\+cu(\d+)(\d)$/.exec(version);
  return { version, cuda: digits === null ? null : `${digits[1]}.${digits[2]}` };
}

/** Whether `version` is at least `oldest`, by major and minor number. A version that cannot be read is not. */
export function isAtLeast(version: string, oldest: string): boolean {
  const [major = Number.NaN, minor = Number.NaN] = version
    .split(".")
    .map((part) => Number.parseInt(part, 10));
  const [wantedMajor = 0, wantedMinor = 0] = oldest.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
