/** The licence that a model directory names. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readTextFile } from "../base/files.ts";

/** A licence. */
export interface License {
  /** Its identifier on the hub, e.g. apache-2.0; null: not said. */
  name: string | null;
  /** Its text; null: not there. */
  text: string | null;
}

/** The licence named in README.md's front matter, and the text of the file LICENSE. */
export function licenseOf(directory: string): License {
  const readme = join(directory, "README.md");
  const front = existsSync(readme) ? /^---\r?\n(.*?)\r?\n---/s.exec(readTextFile(readme))?.[1] : undefined;
  const name = front === undefined ? undefined : /^license:\s*["']?([\w.-]+)["']?\s*$/m.exec(front)?.[1];
  const file = ["LICENSE", "LICENSE.txt", "LICENSE.md"].find((each) => existsSync(join(directory, each)));
  return { name: name ?? null, text: file === undefined ? null : readTextFile(join(directory, file)) };
}
