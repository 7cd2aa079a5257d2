/** Memory of a process as Linux tells it. */
import { readFileSync } from "node:fs";

/** A field of /proc/PID/status, in bytes: memory now, or the highest there was. */
export function memory(field: "VmHWM" | "VmRSS", pid: number | "self" = "self"): number {
  const line = new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}
