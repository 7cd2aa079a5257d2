/** Finds the built addon. */
export function locateAddon(): string {
  return process.env["PREFTUNE_ADDON"] ?? "/tmp/dev/preftune.node";
}
