/** Limits on work that hold on a busy machine too: what this process computed, not what passed on the clock. */

/** Milliseconds of processor time that `body` took in this process. */
export function cpuMs(body: () => void): number {
  const before = process.cpuUsage();
  body();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
