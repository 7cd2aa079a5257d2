/** What is to be known of a run, in words. */
export interface Finding {
  severity: "error" | "warning" | "note";
  text: string;
  /** What to do, or how to read it. */
  remedy?: string;
}
