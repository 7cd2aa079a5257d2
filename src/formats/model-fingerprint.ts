/** The identity of a model's weights: by samples of them for a run's fingerprint, by all of them for what is kept beyond a run. */
import { createHash } from "node:crypto";
import { closeSync, readSync } from "node:fs";
import { basename, join } from "node:path";
import { readTextFile, sha256, sha256FileOnce } from "../base/files.ts";
import { openFile } from "../base/open-file.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import type { SafetensorsFile } from "./safetensors.ts";
import { openWeights } from "./weight-index.ts";

const samples = 256;
const sampleBytes = 4096;

/**
 * SHA-256 over config.json, the header and size of every weight file, and 256 evenly spaced samples of each file's data.
 * Retrained weights differ in nearly every byte, so samples distinguish them; a single flipped bit may pass unseen.
 */
export function modelFingerprint(dir: string): string {
  const hash = createHash("sha256").update(readTextFile(join(dir, "config.json")));
  for (const file of openWeights(dir).files) hashFile(hash, file);
  return hash.digest("hex");
}

/**
 * SHA-256 over config.json and every byte of the weight files: other weights have another, if only in one number.
 *
 * @param onPhase - called with the number of files that were read
 */
export function modelDigest(dir: string, onPhase: PhaseListener): string {
  const { files } = openWeights(dir);
  const tell = (done: number): void => onPhase("weights read", done, files.length);
  const digests = files.map(({ path }, i) => {
    tell(i);
    return [basename(path), sha256FileOnce(path)];
  });
  tell(files.length);
  return sha256(JSON.stringify([readTextFile(join(dir, "config.json")), digests]));
}

function hashFile(hash: ReturnType<typeof createHash>, file: SafetensorsFile): void {
  hash.update(`${file.fileBytes} ${file.dataStart}\n`);
  for (const entry of file.tensors.values())
    hash.update(`${entry.name} ${entry.dtype} ${entry.shape} ${entry.begin}\n`);
  const fd = openFile(file.path);
  try {
    const buffer = new Uint8Array(sampleBytes);
    const room = Math.max(0, file.fileBytes - file.dataStart - sampleBytes);
    for (let i = 0; i < samples; i++) {
      const at = file.dataStart + Math.floor((room * i) / (samples - 1));
      hash.update(buffer.subarray(0, readSync(fd, buffer, 0, sampleBytes, at)));
    }
  } finally {
    closeSync(fd);
  }
}
