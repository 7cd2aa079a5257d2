/**
 * Files in which ranks keep the numbers that they hold: `rank-00002-of-00004.safetensors`, with flat slices of tensors named by
 * what they are of, such as `model.norm.weight@96-128` for the numbers 96 to before 128. A tensor that is there in one piece, as in
 * a model's files, is a slice as well, so that either kind of file is read by any number of ranks.
 */
import { basename, join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { readSafetensorsHeader, type SafetensorsFile, type TensorEntry } from "./safetensors.ts";

const FILE = /^rank-(\d{5})-of-(\d{5})\.safetensors$/;
const SLICE = /^(.+)@(\d+)-(\d+)$/;

/** Name of the file of a rank. */
export function sliceFileName(rank: number, ranks: number): string {
  const number = (n: number): string => String(n).padStart(5, "0");
  return `rank-${number(rank)}-of-${number(ranks)}.safetensors`;
}

/** Whether a file is one of those that ranks write. */
export function isSliceFile(name: string): boolean {
  return FILE.test(name);
}

/** Name of the numbers `from` to before `to` of a tensor, in row-major order. */
export function sliceName(name: string, from: number, to: number): string {
  return `${name}@${from}-${to}`;
}

/** Some numbers of a tensor, and where they are stored. */
export interface StoredSlice {
  file: SafetensorsFile;
  entry: TensorEntry;
  /** Among the numbers of the tensor. */
  from: number;
  to: number;
}

/** Where the numbers of tensors are stored: of each, the slices one after another. */
export class SliceIndex {
  /** Path for messages. */
  readonly place: string;
  readonly #slices: ReadonlyMap<string, readonly StoredSlice[]>;

  /**
   * @param place - the directory of the files, for messages
   * @throws {FormatError} if numbers between two slices are missing, or there twice
   */
  constructor(place: string, files: readonly SafetensorsFile[]) {
    this.place = place;
    const all = files.flatMap((file) => [...file.tensors.values()].map((entry) => sliceOf(file, entry)));
    const slices = Map.groupBy(all, ({ name }) => name);
    for (const [name, of] of slices) {
      of.sort((a, b) => a.from - b.from || a.to - b.to);
      requireOneAfterAnother(place, name, of);
    }
    this.#slices = slices;
  }

  get names(): Iterable<string> {
    return this.#slices.keys();
  }

  /** How many numbers of the tensor there are; null when it is not there. */
  numel(name: string): number | null {
    return this.#slices.get(name)?.at(-1)?.to ?? null;
  }

  /** The parts of slices that together are the numbers `from` to before `to`. @throws {FormatError} if some are missing */
  within(name: string, from: number, to: number): StoredSlice[] {
    const numel = this.numel(name);
    if (numel === null || numel < to) {
      const what = numel === null ? "is missing" : `ends after ${numel} numbers, up to ${to} are needed`;
      throw new FormatError(`${this.place}: tensor "${name}" ${what}`);
    }
    const slices = this.#slices.get(name) ?? [];
    return slices.flatMap((slice) => {
      const [first, end] = [Math.max(from, slice.from), Math.min(to, slice.to)];
      return first < end ? [{ ...slice, from: first - slice.from, to: end - slice.from }] : [];
    });
  }
}

function sliceOf(file: SafetensorsFile, entry: TensorEntry): StoredSlice & { name: string } {
  const numel = entry.shape.reduce((product, size) => product * size, 1);
  const [, name, first, end] = isSliceFile(basename(file.path)) ? (SLICE.exec(entry.name) ?? []) : [];
  if (name === undefined) return { name: entry.name, file, entry, from: 0, to: numel };
  const [from, to] = [Number(first), Number(end)];
  if (to - from !== numel) {
    throw new FormatError(
      `${file.path}: tensor "${entry.name}" has ${numel} numbers, its name says ${to - from}. The file is damaged.`,
    );
  }
  return { name, file, entry, from, to };
}

function requireOneAfterAnother(place: string, name: string, slices: readonly StoredSlice[]): void {
  let next = 0;
  for (const { file, from, to } of slices) {
    if (from !== next) {
      const fault =
        from > next ? `numbers ${next} to ${from} are missing` : `numbers from ${from} are there twice`;
      throw new FormatError(
        `${place}: of tensor "${name}" ${fault} (at ${file.path}). The files are not those of one checkpoint.`,
      );
    }
    next = to;
  }
}

/** The headers of the files that ranks wrote into `dir`, by the names that its manifest lists. */
export function openSliceFiles(dir: string, names: readonly string[]): SafetensorsFile[] {
  return names.filter(isSliceFile).map((name) => readSafetensorsHeader(join(dir, name)));
}
