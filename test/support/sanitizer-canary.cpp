/*
 * Loaded by test/campaign/sanitizers.test.ts: one fault of each kind that the sanitizers are to find, so that their silence
 * about the addon counts. SANITIZER_CANARY says which fault.
 */
#include <climits>
#include <cstdlib>
#include <string_view>
#include <vector>

__attribute__((constructor)) static void fault() {
  const char* kind = std::getenv("SANITIZER_CANARY");
  if (kind == nullptr) return;
  volatile int one = 1;
  if (std::string_view(kind) == "address") {
    // aligned memory, as torch asks for that of a tensor
    void* block = nullptr;
    if (posix_memalign(&block, 64, 64) != 0) return;
    static_cast<volatile char*>(block)[63 + one] = 1;
    std::free(block);
  } else if (std::string_view(kind) == "undefined") {
    volatile int most = INT_MAX;
    most = most + one;
  } else if (std::string_view(kind) == "container") {
    std::vector<int> numbers(3);
    numbers.reserve(8);
    numbers[2 + one] = 1;
  }
}
