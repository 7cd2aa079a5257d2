/** Memory that tests measure: how much waits for the garbage collector depends on what else the machine does. */
import { readFileSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");

/** Frees what is unreachable. */
export const collectGarbage = runInNewContext("gc") as () => void;

/** Resident memory of this process, in MiB, once garbage is collected. */
export function residentMiB(): number {
  collectGarbage();
  return process.memoryUsage.rss() / 2 ** 20;
}

/** Slope of the line of least squares through points. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(([at]) => at)), mean(points.map(([, value]) => value))];
  const over = points.reduce((sum, [at, value]) => sum + (at - x) * (value - y), 0);
  return over / points.reduce((sum, [at]) => sum + (at - x) ** 2, 0);
}

/** A field of /proc/PID/status (Linux), in bytes: memory now, or the highest there was. */
export function memory(field: "VmHWM" | "VmRSS", pid: number | "self" = "self"): number {
  const line = new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}

/** Memory of this process (Linux) that is `file`'s, mapped, and how much of it became the process's own by being written to; bytes. */
export function mappedBytes(file: string): { resident: number; anonymous: number } {
  const maps = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const own = maps.filter((map) => map.split("\n", 1)[0]?.endsWith(` ${file}`) === true);
  const sum = (field: string) =>
    own.reduce(
      (total, map) => total + 1024 * Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(map)?.[1] ?? 0),
      0,
    );
  return { resident: sum("Rss"), anonymous: sum("Anonymous") };
}

/** Sets the highest memory of this process (Linux) back to what it holds once garbage is collected; gives that, in bytes. */
export function resetPeak(): number {
  collectGarbage();
  writeFileSync("/proc/self/clear_refs", "5");
  return memory("VmRSS");
}
