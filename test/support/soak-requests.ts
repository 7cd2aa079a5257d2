/** Requests of every kind, one after the other for as long as it takes: no tensor stays in the engine, and no process grows. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { amount, campaignSeed, figure, isNightly } from "./campaign.ts";
import { slope } from "./memory.ts";
import { collectsGarbage, type Served, served } from "./served.ts";

const count = amount(80, 10_000);
/** Until then caches fill and code is compiled. */
const warm = amount(20, 2000);
const beside = 8;
const random = new Random(campaignSeed);
const pick = <T>(list: readonly T[]): T => list[Math.floor(random.next() * list.length)] as T;

const words = ["Lund", "sells", "coal", "é", "漢字", "😀", "\n", "of", "the", "islands"];
const text = (length: number) => Array.from({ length }, () => pick(words)).join(" ");

/** A request as clients send them; some are refused, some are left. */
async function one(server: Served): Promise<number> {
  const isChat = random.next() < 0.5;
  const prompt = text(1 + Math.floor(random.next() * 30));
  const body = {
    model: "tiny",
    ...(isChat ? { messages: [{ role: "user", content: prompt }] } : { prompt }),
    max_tokens: 1 + Math.floor(random.next() * 12),
    ...(random.next() < 0.3 ? { n: 1 + Math.floor(random.next() * 4) } : {}),
    ...(random.next() < 0.3 ? (isChat ? { logprobs: true, top_logprobs: 3 } : { logprobs: 3 }) : {}),
    ...(random.next() < 0.2 ? { stop: ["a", "bc"], presence_penalty: 0.5 } : {}),
    ...(random.next() < 0.05 ? { n: 99 } : {}),
    ...(!isChat && random.next() < 0.2 ? { echo: true } : {}),
    stream: random.next() < 0.4,
  };
  const leave = new AbortController();
  const leaves = random.next() < 0.05;
  const path = isChat ? "/v1/chat/completions" : "/v1/completions";
  const send = () => server.post(path, JSON.stringify(body), { signal: leave.signal });
  // a connection that was idle for five seconds may be closed at the moment that it is used again: clients then ask again
  const reply = send().catch((error: Error) => {
    if ((error.cause as { code?: string } | undefined)?.code === "UND_ERR_SOCKET") return send();
    throw error;
  });
  if (leaves) setTimeout(() => leave.abort(), random.next() * 20);
  try {
    const { status } = await reply.then(async (each) => {
      await each.text();
      return each;
    });
    return status;
  } catch (error) {
    if (leaves) return 0;
    throw error;
  }
}

const megabyte = 2 ** 20;

/** Sends ten thousand requests to a server that computes in `dtype`; short form: 80. */
export async function soakRequests(dtype: "float32" | "bfloat16"): Promise<void> {
  await using server = await served(["--max-queue", "200", "--dtype", dtype], 512, collectsGarbage);
  const statuses = new Map<number, number>();
  const samples: { at: number; http: number; engine: number; tensors: number }[] = [];
  const sample = async (at: number) => {
    // the garbage of the last requests is collected
    await sleep(amount(0, 2000));
    const metrics = await server.idle();
    const of = (name: string) => metrics.get(name) ?? Number.NaN;
    samples.push({
      at,
      http: of("process_resident_memory_bytes") / megabyte,
      engine: of("preftune_engine_resident_memory_bytes") / megabyte,
      tensors: of("preftune_engine_live_tensors"),
    });
  };
  let done = 0;
  const runTo = async (end: number) => {
    const worker = async () => {
      while (done < end) {
        done++;
        const status = await one(server);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: beside }, worker));
    await sample(done);
  };
  await runTo(warm);
  for (let end = warm; end < count; ) {
    end += amount(20, 500);
    await runTo(end);
    if (isNightly && end % 1000 === 0) console.log(`${end} of ${count}:`, samples.at(-1), statuses);
  }
  const [first, last] = [samples[0], samples.at(-1)];
  assert.ok(first !== undefined && last !== undefined);
  assert.ok(
    [...statuses.keys()].every((status) => [0, 200, 422].includes(status)),
    JSON.stringify([...statuses]),
  );
  assert.ok((statuses.get(200) ?? 0) > count / 2);
  const delta = last.tensors - first.tensors;
  assert.ok(first.tensors > 0);
  figure(
    15,
    `${done} requests to serve in ${dtype}, live tensors of the engine`,
    `${delta} more than before`,
    "0",
    delta === 0,
  );
  if (!isNightly) return;
  for (const name of ["http", "engine"] as const) {
    const growth = 1000 * slope(samples.map((each) => [each.at, each[name]]));
    const process = `the ${name === "http" ? "HTTP" : "engine"} process`;
    const what = `resident memory of ${process} per 1,000 requests in ${dtype}, garbage collected once a second by gc()`;
    figure(
      15,
      what,
      `${growth.toFixed(2)} MiB`,
      "< 1 MiB",
      growth < 1,
      "the memory of serve is measured with `gc()` forced once a second (first goal: as users run it), since garbage would be counted otherwise; row 22 measures it without",
    );
  }
}
