/** Import first: the Node that preftune needs is checked before anything else of it runs. */
import { ConfigError } from "./errors.ts";

const oldest = 24;

/**
 * @param version - of Node, as in `process.versions.node`
 * @throws {ConfigError} when it is too old
 */
export function requireNode(version: string): void {
  if (Number.parseInt(version, 10) >= oldest) return;
  throw new ConfigError(
    `preftune: expected Node ${oldest} or newer, got ${version}. Install Node ${oldest} and run it again.`,
  );
}

requireNode(process.versions.node);
