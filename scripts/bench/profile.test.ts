import assert from "node:assert/strict";
import { test } from "node:test";
import { activityOf, profileOf, profileTable, samplesOf } from "./profile.ts";

const torch = "/torch/lib/libtorch_cpu.so";
const addon = "/addon/preftune.node";

const cases = [
  ["mkl_blas_avx512_sgemm_kernel_0_b0_cnr", torch, "products"],
  ["mkl_blas_avx512_sgemm_scopy_right8_ea", torch, "packing operands"],
  [
    "preftune::Kernel<&preftune::transposeRowsBody, &preftune::transposeRowsBody>::onAvx2",
    addon,
    "packing operands",
  ],
  ["preftune::Kernel<&preftune::smallProductBody, &preftune::smallProductWide>::onAvx512", addon, "products"],
  ["preftune::(anonymous namespace)::tallTileV4<8, 3>", addon, "products"],
  ["preftune::(anonymous namespace)::copyPanelV4<float>", addon, "packing operands"],
  ["preftune::(anonymous namespace)::packPanels", addon, "packing operands"],
  ["[unknown]", "/tmp/perf-812.map", "products"],
  ["LazyCompile:~trainStep file:///src/train/step.ts:40", "/tmp/perf-812.map", "Node, the rest"],
  [
    "preftune::Kernel<&preftune::rowExpBody, &preftune::rowExpWide>::onAvx512",
    addon,
    "the addon's other kernels",
  ],
  ["at::native::AVX2::VectorizedLoop2d<at::native::add>", torch, "torch's other operators"],
  ["gomp_team_barrier_wait_end", "/torch/lib/libgomp-1.so.1", "waiting for a thread"],
  ["clear_page_erms", "[kernel.kallsyms]", "system"],
  ["v8::internal::Scavenger::Process()", "/usr/bin/node", "Node, the rest"],
  ["malloc", "/lib/libc.so.6", "Node, the rest"],
] as const;

for (const [symbol, file, activity] of cases) {
  test(`${symbol.slice(0, 40)} of ${file}: ${activity}`, () => {
    assert.equal(activityOf({ symbol, file }), activity);
  });
}

test("samples are read with their time, symbols with blanks and parentheses included", () => {
  const text = [
    " 100.002004:      7f2e1c sgemm_kernel (/torch/lib/libtorch_cpu.so)",
    "not a sample",
    "  99.000000:           ab operator()(int) const (/addon/preftune.node)",
    "",
  ].join("\n");
  assert.deepEqual(samplesOf(text), [
    { seconds: 100.002004, symbol: "sgemm_kernel", file: torch },
    { seconds: 99, symbol: "operator()(int) const", file: addon },
  ]);
});

test("samples outside of the measured steps do not count, and fractions are of all threads' time", () => {
  const sample = (seconds: number, symbol: string) => ({ seconds, symbol, file: torch });
  const samples = [
    ...Array.from({ length: 499 }, (_, i) => sample(10 + i / 499, "sgemm_kernel")),
    sample(9.99, "at::add"),
    sample(11.01, "at::add"),
  ];
  const steps = { losses: [], seconds: [], cpuSeconds: [], peakMb: 0, bareMb: 0, gemmGflops: 100 };
  const record = { ...steps, pid: 1, measured: { from: 10, to: 11 } };
  const profile = profileOf(samples, record, 2);
  assert.equal(profile.products, 0.5);
  assert.equal(profile["torch's other operators"], 0);
  const table = profileTable([{ name: "bench", gemmShare: 0.4, profile }]);
  assert.match(table, /^bench +50 +0 +0 +0 +0 +0 +0 +50 +40 +80$/m);
});
