/** JSON that is copied with its numbers as they are spelt: what reads 8.0 as a float may refuse 8, and JavaScript writes that. */

/** What Node 24 has of JSON and TypeScript's types have not. */
interface SpeltJson {
  parse(text: string, revive: (key: string, value: unknown, context: { source: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
}

/** The value of a JSON text; its numbers are no numbers, and `JSON.stringify` gives them as they are spelt. */
export function parseSpelt(text: string): unknown {
  const json = JSON as unknown as SpeltJson;
  return json.parse(text, (_, value, { source }) =>
    typeof value === "number" ? json.rawJSON(source) : value,
  );
}
