/**
 * The log-probs of held-out tokens at the start of a run, as `evaluation-start.json` keeps them: float32 up to a million tokens, then
 * 16 bits each, within 5e-4 nats.
 */

/** Log-probs of tokens as text. */
export interface StoredLogps {
  /** `float32`; or `steps`: 16-bit counts of steps of 2^-10 nats below 0, of which 65535 stands for the next of `others`. */
  as: "float32" | "steps";
  /** Base64, little-endian. */
  values: string;
  /** Base64 of float32: those below −63.99 nats, and those that are no numbers. Only of `steps`. */
  others?: string;
}

/** Tokens up to which float32 is kept: 4 MiB. */
const mostExact: number = 2 ** 20;
const stepsPerNat = 1024;
const isOther = 65_535;

/** `logps` to be stored. @param exact - tokens up to which nothing is rounded */
export function storedLogps(logps: Float32Array, exact: number = mostExact): StoredLogps {
  if (logps.length <= exact) return { as: "float32", values: base64(logps) };
  const others: number[] = [];
  const steps = Uint16Array.from(logps, (logp) => {
    const step = Math.round(-logp * stepsPerNat);
    if (step >= 0 && step < isOther) return step;
    others.push(logp);
    return isOther;
  });
  return { as: "steps", values: base64(steps), others: base64(Float32Array.from(others)) };
}

/** The log-probs that `stored` holds. */
export function loadedLogps({ as, values, others = "" }: StoredLogps): Float32Array {
  const bytes = bytesOf(values);
  if (as === "float32") return new Float32Array(bytes);
  const beyond = new Float32Array(bytesOf(others));
  let next = 0;
  return Float32Array.from(new Uint16Array(bytes), (step) =>
    step === isOther ? (beyond[next++] ?? Number.NaN) : -step / stepsPerNat,
  );
}

/** How many log-probs `stored` holds. */
export function storedCount({ as, values }: StoredLogps): number {
  return Buffer.byteLength(values, "base64") / (as === "float32" ? 4 : 2);
}

/** Bytes that the log-probs of so many tokens take in the file. */
export function storedLogpBytes(tokens: number): number {
  return Math.ceil((tokens * (tokens <= mostExact ? 4 : 2)) / 3) * 4;
}

function base64({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("base64");
}

function bytesOf(text: string): ArrayBuffer {
  return Uint8Array.from(Buffer.from(text, "base64")).buffer;
}
