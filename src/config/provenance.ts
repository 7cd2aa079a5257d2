/** Where the values of a configuration come from. */

/** Where a value came from. */
export type Provenance =
  | { kind: "default" }
  | { kind: "file"; file: string; line: number }
  | { kind: "command line" }
  | { kind: "code" }
  | { kind: "preset"; name: string }
  | { kind: "derived"; why: string };
