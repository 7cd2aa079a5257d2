/**
 * Rows with tools and tool calls: what the model sees of them, and which part is learned. The policy's own tokens count; what a tool
 * wrote, and what the template writes between turns, does not. Run: npm run ts -- examples/tools.ts MODEL_DIR ROWS.jsonl
 */
import { writeFileSync } from "node:fs";
import { createRowEncoder, encodeRows, loadTokenizer, normaliseRow, readRows } from "preftune/data";

const call = (name: string, values: Record<string, unknown>) => ({
  ...{ role: "assistant", content: "" },
  tool_calls: [{ type: "function", function: { name, arguments: values } }],
});
const row = {
  tools: [
    {
      type: "function",
      function: {
        name: "weather",
        description: "The weather of a city.",
        parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      },
    },
  ],
  prompt: [{ role: "user", content: "How warm is it in Oslo?" }],
  chosen: [
    call("weather", { city: "Oslo" }),
    { role: "tool", content: "4 degrees" },
    { role: "assistant", content: "It is 4 degrees." },
  ],
  rejected: [{ role: "assistant", content: "It is warm." }],
};

const [model = "", path = ""] = process.argv.slice(2);
writeFileSync(path, `${JSON.stringify(row)}\n`);
const tokenizer = loadTokenizer(model);
await using encoder = createRowEncoder(tokenizer);
for await (const raw of readRows({ path })) {
  const [example] = await encodeRows([normaliseRow(raw, { task: "preference" })], encoder);
  if (example === undefined || "message" in example) throw new Error(example?.message);
  const text = (ids: readonly number[]) => tokenizer.decode(ids, { skipSpecialTokens: false });
  const [chosen] = example.completions;
  const ids = chosen?.ids ?? [];
  console.log(
    JSON.stringify({
      prompt: text(example.promptIds),
      chosen: text(ids),
      learned: text(ids.filter((_, at) => chosen?.mask?.[at] !== 0)),
    }),
  );
}
