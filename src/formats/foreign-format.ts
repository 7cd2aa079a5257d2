/** Recognises, by first bytes, the files that people take for safetensors. */

/** What a file is and what to do with it. */
export interface ForeignFormat {
  what: string;
  remedy: string;
}

const convert =
  "It can run code when loaded and is never opened here. Convert it: load it in transformers and call " +
  "save_pretrained(..., safe_serialization=True).";

/**
 * The other format that `head`, the first bytes of a file, belongs to; null when none is recognised.
 *
 * Ask only after the file has failed as safetensors: a valid header of 640 bytes begins like a pickle.
 */
export function foreignFormat(head: Uint8Array): ForeignFormat | null {
  const text = new TextDecoder("latin1").decode(head);
  if (text.startsWith("PK\x03\x04")) return { what: "a zip file, as PyTorch pickles are", remedy: convert };
  const protocol = head[1] ?? 0;
  if (head[0] === 0x80 && protocol >= 2 && protocol <= 5) return { what: "a Python pickle", remedy: convert };
  if (text.startsWith("GGUF")) {
    return { what: "a GGUF file", remedy: "Use the model's Hugging Face directory with safetensors files." };
  }
  if (text.startsWith("version https://git-lfs")) {
    return { what: "a Git LFS pointer", remedy: "Fetch the real file with `git lfs pull`." };
  }
  if (/^\s*<(!doctype|html)/i.test(text)) {
    return { what: "a web page", remedy: "The download went wrong; fetch the file itself." };
  }
  return null;
}
