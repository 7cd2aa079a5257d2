// Kernels compiled for several instruction sets and chosen at run time: the addon's own by `level`, and torch's, oneDNN's and MKL's by
// their variables, all held to what PREFTUNE_ISA names.
#pragma once

#include <ATen/Version.h>

#include <cstdlib>
#include <string>
#include <utility>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define PREFTUNE_X86_LEVELS 1
#define PREFTUNE_LEVEL(name) __attribute__((target("arch=" name), optimize("O3")))
#else
#define PREFTUNE_X86_LEVELS 0
#endif
#define PREFTUNE_INLINE inline __attribute__((always_inline))
// Of what a kernel with the vectors of AVX-512 is made: in a function without the target the compiler takes them apart.
#define PREFTUNE_WIDE inline __attribute__((always_inline, target("arch=x86-64-v4")))

namespace preftune {

enum class Level { baseline, avx2, avx512 };

// What torch found the processor to have, or was held to.
inline Level level() {
#if PREFTUNE_X86_LEVELS
  static const Level found = [] {
    const std::string capability = at::get_cpu_capability();
    if (capability.rfind("AVX512", 0) == 0) return Level::avx512;
    return capability.rfind("AVX2", 0) == 0 ? Level::avx2 : Level::baseline;
  }();
  return found;
#else
  return Level::baseline;
#endif
}

inline const char* levelName() {
  return level() == Level::avx512 ? "avx512" : level() == Level::avx2 ? "avx2" : "baseline";
}

// Holds all libraries to the instruction set that PREFTUNE_ISA names, before any of them has looked at the processor. They read the
// variables when a kernel is first chosen; one that the user has set stays. A name that is not here was refused by src/setup/instruction-set.ts.
inline void limitInstructionSets() {
  const char* const asked = std::getenv("PREFTUNE_ISA");
  if (asked == nullptr) return;
  struct Limits {
    const char *name, *torch, *onednn, *mkl;
  };
  constexpr Limits all[] = {
      {"baseline", "default", "SSE41", "SSE4_2"},
      {"avx2", "avx2", "AVX2", "AVX2"},
      {"avx512", "avx512", "AVX512_CORE_FP16", "AVX512"},
  };
  for (const Limits& limits : all) {
    if (std::string(limits.name) != asked) continue;
    setenv("ATEN_CPU_CAPABILITY", limits.torch, 0);
    setenv("ONEDNN_MAX_CPU_ISA", limits.onednn, 0);
    setenv("MKL_ENABLE_INSTRUCTIONS", limits.mkl, 0);
  }
}

// MKL chooses between kernels by more than the shapes: with AVX2 a product inside of a task of three threads was now and then summed up
// in another order. Strict reproducibility costs nothing that can be measured. On other makers' processors it would slow MKL down.
inline void keepMklReproducible() {
#if PREFTUNE_X86_LEVELS
  if (!__builtin_cpu_is("intel")) return;
  // a parent's, which was held to more than this process, is inherited
  const char* const given = std::getenv("MKL_CBWR");
  if (given != nullptr && level() != Level::avx512 && std::string(given) == "AVX512,STRICT") unsetenv("MKL_CBWR");
  const char* const limit = std::getenv("MKL_ENABLE_INSTRUCTIONS");
  const std::string set = level() == Level::avx512 ? "AVX512" : "AVX2";
  if (level() != Level::baseline && (limit == nullptr || limit == set)) setenv("MKL_CBWR", (set + ",STRICT").c_str(), 0);
#endif
}

// oneDNN compiles a program for each shape of a product in bfloat16, hundreds of KB on AMX; it and torch's binding each keep the last
// 1024. A micro-batch with another number of tokens needs some 25 new ones, which no later one uses: 64 are more than enough. Both
// read the variables at the first product; what the user has set stays.
inline void keepFewPrograms() {
  setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64", 0);
  setenv("LRU_CACHE_CAPACITY", "64", 0);
}

// A function that is compiled for each level; a call takes the processor's. `body` is inlined into each; `wide`, where it is another one,
// has the vectors of AVX-512.
template <auto body, auto wide = body>
struct Kernel;
template <typename Result, typename... Inputs, Result (*body)(Inputs...), Result (*wide)(Inputs...)>
struct Kernel<body, wide> {
#if PREFTUNE_X86_LEVELS
  PREFTUNE_LEVEL("x86-64-v4") static Result onAvx512(Inputs... inputs) { return wide(inputs...); }
  PREFTUNE_LEVEL("x86-64-v3") static Result onAvx2(Inputs... inputs) { return body(inputs...); }
  __attribute__((optimize("O3"))) static Result onBaseline(Inputs... inputs) { return body(inputs...); }
  Result operator()(Inputs... inputs) const {
    if (level() == Level::avx512) return onAvx512(inputs...);
    return level() == Level::avx2 ? onAvx2(inputs...) : onBaseline(inputs...);
  }
#else
  Result operator()(Inputs... inputs) const { return body(inputs...); }
#endif
};

#if PREFTUNE_X86_LEVELS
#define PREFTUNE_WIDE_KERNEL(name) inline constexpr Kernel<name##Body, name##Wide> name{}
#else
#define PREFTUNE_WIDE_KERNEL(name) inline constexpr Kernel<name##Body> name{}
#endif

// PREFTUNE_KERNEL(Result, name, (parameters)) { body } defines the kernel `name`.
#define PREFTUNE_KERNEL(Result, name, parameters)       \
  PREFTUNE_INLINE Result name##Body parameters;         \
  inline constexpr Kernel<name##Body> name{};           \
  PREFTUNE_INLINE Result name##Body parameters

}  // namespace preftune
