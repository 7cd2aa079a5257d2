import assert from "node:assert/strict";
import test from "node:test";

import { compileTemplate } from "./jinja.ts";
import { stripText } from "./python-strip.ts";

test("strips the given characters only", () => {
  assert.equal(stripText("lstrip", "\n\n  x\n", "\n"), "  x\n");
  assert.equal(stripText("rstrip", " x \n", "\n"), " x ");
  assert.equal(stripText("strip", "xxabcxx", "x"), "abc");
});

test("strips Python's white space by default", () => {
  assert.equal(stripText("strip", " \t\x1c\x85\u3000x\u2028 "), "x");
  assert.equal(stripText("strip", "\uFEFF x \uFEFF"), "\uFEFF x \uFEFF");
});

test("templates call these methods wherever they stand", () => {
  const render = (source: string): string =>
    compileTemplate(source)({ variables: { t: "\n  a b\n" }, now: 0 });
  assert.equal(render("[{{ t.lstrip('\\n') }}]"), "[  a b\n]");
  assert.equal(render("[{{ t.split('b')[0].strip('\\n').rstrip() }}]"), "[  a]");
  assert.equal(render("[{{ t | trim }}]"), "[a b]");
  assert.equal(render("{% set x = {'k': t.strip()} %}[{{ x.k if t.strip() else '' }}]"), "[a b]");
  assert.equal(render("{% macro m(v) %}{{ v.strip() }}{% endmacro %}[{{ m(t) }}]"), "[a b]");
});

test("stripping something that is not text is an error", () => {
  assert.throws(() => compileTemplate("{{ n.strip() }}")({ variables: { n: 3 }, now: 0 }), {
    message: "strip expects text, got number",
  });
});
