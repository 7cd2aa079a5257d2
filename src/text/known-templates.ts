/**
 * Chat templates that were read and found harmless, by the SHA-256 of their text.
 * They render inside this process; any other template renders in a child process with limits.
 */
import { createHash } from "node:crypto";

const families: Readonly<Record<string, string>> = {
  f91864928fccff928b3068ca784db6275e655e400ccbb28f61d92c0090caf3b3: "chatml",
  "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788": "smollm2",
  "87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5": "qwen3",
  a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8: "qwen3",
  "64f85b198065d0fba2a81f37e10ed68161ce2c19a754c7100e67e0ca2ee9c326": "qwen3-instruct-2507",
  cd8e9439f0570856fd70470bf8889ebd8b5d1107207f67a5efb46e342330527f: "qwen2.5",
  b48c47f6443892716176eb200bf4ef108f64e06ca26ed0fa8ebc0a4b3992fcb2: "llama3",
  ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122: "llama3",
  e10ca381b1ccc5cf9db52e371f3b6651576caee0a630b452e2816b2d404d4b65: "llama3.1",
  "5816fce10444e03c2e9ee1ef8a4a1ea61ae7e69e438613f3b17b69d0426223a4": "llama3.2",
  ecd6ae513fe103f0eb62e8ab5bfa8d0fe45c1074fa398b089c93a7e70c15cfd6: "gemma",
  "7de1c58e208eda46e9c7f86397df37ec49883aeece39fb961e0a6b24088dd3c4": "gemma3",
};

/** SHA-256 of a template's text, in hexadecimal. */
export function templateHash(source: string): string {
  return createHash("sha256").update(source).digest("hex");
}

/** Family of the known template with this hash, or null for any other. */
export function knownTemplate(hash: string): string | null {
  return Object.hasOwn(families, hash) ? (families[hash] ?? null) : null;
}
