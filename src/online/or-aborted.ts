/** Waiting for what cannot be interrupted. */

/** `result`, unless `signal` is aborted before it is there. The work continues all the same. @throws the signal's reason */
export async function orAborted<R>(result: Promise<R>, signal: AbortSignal | undefined): Promise<R> {
  if (signal === undefined) return result;
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([result, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
