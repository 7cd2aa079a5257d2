/** Choosing tokens: what is left of a distribution against transformers, evenly spread draws, log-probs and alternatives. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { golden } from "../../test/support/goldens.ts";
import { Random } from "../base/random.ts";
import { idsOf } from "../base/token-set.ts";
import { tensor } from "../torch/index.ts";
import type { ChoiceRow, Sampling } from "./choice.ts";
import { chooseTokens } from "./choose.ts";

interface Case {
  logits: number[];
  seen: number[];
  settings: {
    temperature: number;
    top_k: number;
    top_p?: number;
    min_p?: number;
    repetition_penalty?: number;
  };
  probabilities: number[];
}

const plain: Sampling = {
  temperature: 1,
  topK: null,
  topP: null,
  minP: null,
  repetitionPenalty: null,
  logprobs: null,
};

/** Draws at the middles of `count` equal parts of [0, 1): each token comes as often as its probability says, ± 1. */
const spread = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ next: () => (i + 0.5) / count }));

function shares(logits: readonly number[], row: Omit<ChoiceRow, "randoms">, count: number): number[] {
  const found = new Array<number>(logits.length).fill(0);
  const randoms = spread(count);
  for (const { id } of chooseTokens(tensor(logits, [1, logits.length]), [{ ...row, randoms }])[0] ?? []) {
    found[id] = (found[id] as number) + 1 / count;
  }
  return found;
}

for (const { logits, seen, settings, probabilities } of golden<{ cases: Case[] }>("sampling").cases) {
  test(`as transformers: ${JSON.stringify(settings)}`, () => {
    withoutLeaks(() => {
      const sampling = {
        ...plain,
        temperature: settings.temperature,
        topK: settings.top_k || null,
        topP: settings.top_p ?? null,
        minP: settings.min_p ?? null,
        repetitionPenalty: settings.repetition_penalty ?? null,
      };
      const count = 50_000;
      const got = shares(logits, { sampling, seen: new Set(seen) }, count);
      assertClose(got, probabilities, { atol: 1.5 / count });
      for (const [id, p] of probabilities.entries()) if (p === 0) assert.equal(got[id], 0, `token ${id}`);
      assertLaw(logits, { sampling, seen: new Set(seen) }, probabilities);
    });
  });
}

/** The log-probs that come with draws, and the tokens kept, are those of `probabilities`. */
function assertLaw(
  logits: readonly number[],
  { sampling, seen }: Omit<ChoiceRow, "randoms">,
  probabilities: readonly number[],
): void {
  const row = { sampling: { ...sampling, samplingLogprobs: true, logprobs: 0 }, seen, randoms: spread(300) };
  const plainRow = { sampling, seen, randoms: spread(1) };
  const rows = [plainRow, row, plainRow];
  const [first, choices] = chooseTokens(tensor([...logits, ...logits, ...logits], [3, logits.length]), rows);
  assert.ok(
    first?.every((choice) => !("sampling" in choice)),
    "only where it is asked for",
  );
  const support = probabilities.flatMap((p, id) => (p > 0 ? [id] : []));
  const isFiltered =
    (sampling.topK ?? logits.length) < logits.length || sampling.topP !== null || sampling.minP !== null;
  for (const choice of choices ?? []) {
    const p = probabilities[choice.id] as number;
    assertClose(choice.sampling?.logprob ?? 0, Math.log(p), { atol: 2e-6 });
    const kept = choice.sampling?.kept ?? null;
    assert.deepEqual(kept === null ? null : idsOf(kept), isFiltered ? support : null);
  }
}

test("equal logits at the k-th place all stay, as in transformers", () => {
  withoutLeaks(() => {
    const got = shares([1, 3, 2, 2, 0], { sampling: { ...plain, topK: 2 }, seen: new Set() }, 1000);
    assert.deepEqual(
      got.map((share) => share > 0),
      [false, true, true, true, false],
    );
  });
});

test("a large vocabulary: top-k and top-p leave what sorting all of it would", () => {
  withoutLeaks(() => {
    const random = new Random(9);
    const size = 5000;
    const logits = Array.from({ length: size }, () => 8 * random.next());
    const weights = logits.map((x) => Math.exp(x));
    const order = weights.map((_, id) => id).sort((a, b) => (weights[b] as number) - (weights[a] as number));
    const kept = (sampling: Partial<Sampling>) => {
      const found = shares(logits, { sampling: { ...plain, ...sampling }, seen: new Set() }, 200_000);
      return new Set(found.flatMap((share, id) => (share > 0 ? [id] : [])));
    };
    assert.deepEqual(kept({ topK: 37 }), new Set(order.slice(0, 37)));
    const total = weights.reduce((a, b) => a + b, 0);
    let sum = 0;
    const nucleus = order.filter((id) => {
      const isIn = sum < 0.3 * total;
      sum += weights[id] as number;
      return isIn;
    });
    assert.deepEqual(kept({ topP: 0.3 }), new Set(nucleus));
  });
});

test("rows of one pass keep their own settings; greedy takes the likeliest after the penalty", () => {
  withoutLeaks(() => {
    const logits = tensor([1, 4, 3.9, -1, 1, 4, 3.9, -1, 1, 4, 3.9, -1], [3, 4]);
    const randoms = [new Random(1)];
    const greedy = { ...plain, temperature: 0 };
    const rows = [
      { sampling: greedy, seen: new Set([1]), randoms },
      { sampling: { ...greedy, repetitionPenalty: 1.2 }, seen: new Set([1]), randoms },
      { sampling: { ...plain, topK: 1, logprobs: 3 }, seen: new Set<number>(), randoms },
    ];
    const choices = chooseTokens(logits, rows);
    assert.deepEqual(
      choices.map((row) => row?.[0]?.id),
      [1, 2, 1],
    );
    const sum = Math.log([1, 4, 3.9, -1].reduce((all, x) => all + Math.exp(x), 0));
    const told = choices[2]?.[0];
    assert.deepEqual(
      told?.top.map(({ id }) => id),
      [1, 2, 0],
    );
    assertClose(
      told?.top.map(({ logprob }) => logprob) ?? [],
      [4, 3.9, 1].map((x) => x - sum),
      { atol: 1e-6 },
    );
    assertClose(told?.logprob ?? 0, 4 - sum, { atol: 1e-6 });
    assert.equal(choices[0]?.[0]?.logprob, null);
    assertClose(logits, [1, 4, 3.9, -1, 1, 4, 3.9, -1, 1, 4, 3.9, -1], { atol: 1e-6 });
  });
});

test("a row of logits that are not finite has no choice at all, greedy or drawn; a row beside it has its own", () => {
  withoutLeaks(() => {
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      for (const temperature of [0, 1]) {
        const row = { sampling: { ...plain, temperature }, seen: new Set<number>(), randoms: spread(1) };
        const both = chooseTokens(tensor([0, bad, 2, 0, 1, 2], [2, 3]), [row, row]);
        assert.deepEqual(both, [null, ...chooseTokens(tensor([0, 1, 2], [1, 3]), [row])]);
        assert.deepEqual(chooseTokens(tensor([bad, 0, 0], [1, 3]), [row]), [null]);
      }
    }
  });
});

test("presence and frequency penalty fall on the answer's tokens as OpenAI defines them, a bias before all", () => {
  // mu[j] - c[j] * frequency - (c[j] > 0) * presence, from OpenAI's API reference; repetition penalty between bias and these
  const likeliest = (sampling: Partial<Sampling>, drawn: number[], seen: number[] = []) => {
    const row = {
      sampling: { ...plain, temperature: 0, ...sampling },
      seen: new Set(seen),
      drawn,
      randoms: spread(1),
    };
    return chooseTokens(tensor([2, 1.6, 1.3, -1], [1, 4]), [row])[0]?.[0]?.id;
  };
  assert.equal(likeliest({ presencePenalty: 0.5, frequencyPenalty: 0.5 }, []), 0);
  assert.equal(likeliest({ presencePenalty: 0.3 }, [0, 0, 0, 0]), 0, "once, however often: 1.7");
  assert.equal(likeliest({ presencePenalty: 0.5 }, [0]), 1);
  assert.equal(likeliest({ frequencyPenalty: 0.15 }, [0, 0]), 0, "1.7");
  assert.equal(likeliest({ frequencyPenalty: 0.15 }, [0, 0, 0]), 1, "1.55");
  assert.equal(likeliest({ frequencyPenalty: 0.3, presencePenalty: 0.2 }, [0, 0, 1]), 2, "1.2, 1.1, 1.3");
  assert.equal(likeliest({ presencePenalty: -1 }, [2]), 2, "a negative one rewards");
  assert.equal(likeliest({ logitBias: new Map([[3, 100]]) }, []), 3);
  assert.equal(likeliest({ logitBias: new Map([[0, -100]]) }, []), 1);
  assert.equal(likeliest({ logitBias: new Map([[3, 4]]), repetitionPenalty: 2 }, [], [3]), 0, "(-1 + 4) / 2");
  const told = chooseTokens(tensor([2, 1.6, 1.3, -1], [1, 4]), [
    {
      sampling: { ...plain, temperature: 0, logitBias: new Map([[3, 100]]), logprobs: 0 },
      seen: new Set(),
      randoms: spread(1),
    },
  ])[0]?.[0];
  const sum = Math.log([2, 1.6, 1.3, -1].reduce((total, logit) => total + Math.exp(logit), 0));
  assert.ok(Math.abs((told?.logprob ?? 0) - (-1 - sum)) < 1e-6, "log-probs are the model's own");
});

test("a temperature that vanishes takes the likeliest token, and one that is huge draws evenly", () => {
  withoutLeaks(() => {
    // 300 and 3e38: what float32 cannot hold once it is divided
    for (const scale of [1, 300, 3e38]) {
      const logits = [0.1, 0.9, 0.8999, -1].map((x) => x * scale);
      for (const temperature of [5e-324, 1e-308, 1e-45, 1e-40, 1e-37, 1e-9, 9.9e-6]) {
        for (const rest of [{}, { topP: 1e-308 }, { minP: 1e-308 }, { topK: 3, topP: 0.9 }]) {
          const got = shares(logits, { sampling: { ...plain, temperature, ...rest }, seen: new Set() }, 50);
          assertClose(got, [0, 1, 0, 0], { atol: 1e-12 });
        }
      }
    }
    // just warm enough to be drawn from, at logits that float32 cannot divide
    const cold = shares(
      [1e34, 3e34, -2e34],
      { sampling: { ...plain, temperature: 1e-5 }, seen: new Set() },
      50,
    );
    assertClose(cold, [0, 1, 0], { atol: 1e-12 });
    for (const temperature of [1e30, 1e39, 1e308]) {
      const got = shares([5, -5, 40, 0], { sampling: { ...plain, temperature }, seen: new Set() }, 1000);
      assertClose(got, [0.25, 0.25, 0.25, 0.25], { atol: 2e-3 });
    }
  });
});

test("filters that vanish: top_p leaves the likeliest token, min_p leaves all", () => {
  withoutLeaks(() => {
    const logits = [1, 2, 3, 2.5];
    const sum = logits.reduce((total, x) => total + Math.exp(x), 0);
    const all = logits.map((x) => Math.exp(x) / sum);
    const seen = new Set<number>();
    for (const topP of [5e-324, 1e-308, 1e-45]) {
      assertClose(shares(logits, { sampling: { ...plain, topP }, seen }, 100), [0, 0, 1, 0], { atol: 1e-12 });
    }
    for (const minP of [5e-324, 1e-308, 1e-45]) {
      assertClose(shares(logits, { sampling: { ...plain, minP }, seen }, 20_000), all, { atol: 1e-4 });
    }
    for (const penalty of [5e-324, 1e-308, -1e-308]) {
      const sampling = { ...plain, presencePenalty: penalty, frequencyPenalty: penalty };
      const got = shares(logits, { sampling, seen, drawn: [2, 2] }, 20_000);
      assertClose(got, all, { atol: 1e-4 });
    }
  });
});

test("a penalty or a bias that float32 cannot hold leaves numbers to draw from", () => {
  withoutLeaks(() => {
    const cases: [number[], Partial<Sampling>, number][] = [
      [[3e37, 1e37, -3e37], { repetitionPenalty: 0.01 }, 0],
      [[-3e38, -3e38, -3.1e38], { repetitionPenalty: 100 }, 1],
      [[3e38, 0, 0], { logitBias: new Map([[0, 3e38]]) }, 0],
      [[0, -3e38, 0], { logitBias: new Map([[1, -1e308]]), presencePenalty: 1e308 }, 2],
    ];
    for (const [logits, settings, likeliest] of cases) {
      for (const temperature of [0, 1e-308, 0.5]) {
        const row = { sampling: { ...plain, ...settings, temperature }, seen: new Set([0]), drawn: [0] };
        const got = shares(logits, row, 40);
        assertClose(got[likeliest] ?? 0, 1, { atol: 1e-9 });
      }
    }
  });
});
