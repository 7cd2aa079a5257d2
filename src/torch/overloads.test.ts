/** Tests of operators with several overloads: each call reaches the schema that its arguments fit, and no other. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { describe, ops, type Tensor, tensor } from "./index.ts";
import { native } from "./native.ts";
import { camelCase, operatorOf } from "./operator.ts";

type Loose = (...args: unknown[]) => unknown;

test("the arguments choose the overload", () => {
  withoutLeaks(() => {
    const a = tensor([1, 2]);
    assertClose(ops.add(a, a, { alpha: 0.5 }), [1.5, 3], {});
    assertClose(ops.add(a, 2, 0.5), [2, 3], {});
    assertClose(ops.sub(a, 3), [-2, -1], {});
    assertClose(ops.sub(3, a), [2, 1], {});
    assertClose(ops.sub(3, a, 2), [1, -1], {});
    assertClose(ops.sum(a), [3], {});
    assertClose(ops.sum(a, [0], true), [3], {});
    assertClose(ops.sum(a, null), [3], {});
    assert.equal(ops.sum(a, { dtype: "float64" }).dtype, "float64");
    assert.equal(ops.to(a, "float64").dtype, "float64");
    assert.equal(ops.to(a, "float64", false, true).dtype, "float64");
    assert.equal(ops.to(a, "meta", "int64").device, "meta");
    assert.deepEqual(ops.view(a, [2, 1]).shape, [2, 1]);
    assert.equal(ops.view(a, "int32").dtype, "int32");
  });
});

test("gradients of scalar minus tensor", () => {
  withoutLeaks(() => {
    const a = tensor([1, 2]);
    a.requiresGrad = true;
    assert.equal(ops.sub(1, a).requiresGrad, true);
  });
});

/** Every operator of the list with its overloads there, as the generator groups them. */
function listed(): Map<string, string[]> {
  const text = readFileSync(new URL("operators.txt", import.meta.url), "utf8");
  const names = text.split("\n").filter(Boolean);
  return Map.groupBy(names, (name) => operatorOf(name).replace("aten::rsub", "aten::sub"));
}

/** The least arguments by position that a schema takes, and all of them. */
function argumentsOf(name: string, x: Tensor): unknown[][] {
  const samples: Record<string, unknown> = { Tensor: x, number: 2, Scalar: 2, bool: true, str: "a" };
  Object.assign(samples, { ScalarType: "float32", Device: "cpu" });
  const sample = (type: string) => (/\[\]\??$/.test(type) ? [1] : (samples[type.replace("?", "")] ?? 1));
  const positional = (describe(name)?.parameters ?? []).filter((p) => !p.keywordOnly);
  const all = positional.map((p) => sample(p.type));
  const least = all.slice(0, positional.filter((p) => !p.hasDefault).length);
  if (name.includes("rsub")) for (const args of [all, least]) args.unshift(...args.splice(1, 1));
  return [least, all];
}

test("no two overloads of an operator take the same arguments", (t) => {
  withoutLeaks(() => {
    const x = tensor([1]);
    const called: string[] = [];
    const call = t.mock.method(native, "call", (id: number) => {
      called.push(native.describeOperator(id).schema);
    });
    let overloaded = 0;
    for (const [operator, names] of listed()) {
      if (names.length === 1) continue;
      overloaded += 1;
      const run = (ops as unknown as Record<string, Loose>)[
        camelCase(operator.replace(/^.*::/, ""))
      ] as Loose;
      for (const name of names) {
        for (const args of argumentsOf(name, x)) {
          run(...args);
          assert.equal(called.pop(), describe(name)?.schema, `${name}(${args.length} arguments)`);
        }
      }
    }
    assert.ok(overloaded >= 15, `${overloaded} operators with overloads`);
    call.mock.restore();
  });
});

test("arguments that no overload takes are named, with the schemas there are", () => {
  withoutLeaks(() => {
    const a = tensor([1, 2, 3]);
    const loose = (operator: unknown) => operator as Loose;
    assert.throws(
      () => loose(ops.sub)(a, "x"),
      (error: Error) => {
        assert.match(error.message, /^no overload of aten::sub takes \(float32\[3\], "x"\); there are\n/);
        assert.match(
          error.message,
          /aten::sub\.Tensor\(Tensor self, Tensor other, \*, Scalar alpha=1\) -> Tensor/,
        );
        assert.match(error.message, /aten::rsub\.Scalar\(.*\) -> Tensor, with self and other exchanged/);
        return true;
      },
    );
    assert.throws(() => loose(ops.mul)(a), /no overload of aten::mul takes \(float32\[3\]\)/);
    assert.throws(() => loose(ops.mul)(a, null), /takes \(float32\[3\], null\)/);
    assert.throws(() => loose(ops.add)(a, a, { alhpa: 2 }), /no option "alhpa"; it has alpha/);
    assert.throws(
      () => ops.mul(a, tensor([1, 2])),
      /aten::mul\.Tensor failed[\s\S]*self float32\[3\], other float32\[2\]/,
    );
  });
});

// compiled, never run: each of these calls is a type error
void typeErrors;
function typeErrors(a: Tensor): void {
  // @ts-expect-error neither a tensor nor a number
  ops.mul(a, "2");
  // @ts-expect-error two numbers
  ops.sub(1, 2);
  // @ts-expect-error the options belong to the overload of two tensors
  ops.add(a, 1, { alpha: 2 });
  // @ts-expect-error an option that no overload has
  ops.add(a, a, { beta: 2 });
  // @ts-expect-error dimensions are a list
  ops.sum(a, 0);
  // @ts-expect-error not a type of elements
  ops.to(a, "float31");
  // @ts-expect-error a device without a type
  ops.to(a, "cpu");
}
