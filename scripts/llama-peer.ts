/** llama.cpp as tests use it: node-llama-cpp with the prebuilt library of this platform (MIT, 85 MB). Not a dependency: it has an install script, which is not run. */
const version = "3.22.1";

const libraries: Readonly<Record<string, string>> = {
  "linux-x64": "linux-x64",
  "linux-arm64": "linux-arm64",
  "darwin-arm64": "mac-arm64-metal",
  "darwin-x64": "mac-x64",
};

/** The npm packages to install, at pinned versions; none where there is no library for this platform. */
export function llamaPackages(): string[] {
  const library = libraries[`${process.platform}-${process.arch}`];
  if (library === undefined) return [];
  return [`node-llama-cpp@${version}`, `@node-llama-cpp/${library}@${version}`];
}
