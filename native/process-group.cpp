// preftune::store_*, preftune::group_*: the store in which ranks meet, and collectives between them, by c10d. Gloo on CPUs.
//
// Collectives run in a thread of the backend. Each call begins one and returns its number; `group_wait` waits for it, and
// ends early when a rank is lost (lost-ranks.h). Results are written through `variable_data`, under another change counter:
// graphs that hold views of the memory stay valid. Gloo's reduce_scatter is an all_reduce of a copy, twice the bytes, and its work
// is never complete before it is waited for: parts are exchanged, and summed by the caller in rank order.
#if defined(__linux__)

#define USE_C10D_GLOO

#include <ATen/ATen.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/library.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "lost-ranks.h"

namespace preftune {
namespace {

using Milliseconds = std::chrono::milliseconds;

// What the message of a failed wait begins with where a rank is lost.
constexpr const char* kLost = "lost: ";

// Numbered things of this process: JavaScript holds the numbers. Never destroyed, as libtorch's own statics may go first.
template <typename T>
class Numbered {
 public:
  int64_t add(T thing) {
    const std::lock_guard<std::mutex> lock(mutex_);
    things_.emplace(++last_, std::move(thing));
    return last_;
  }
  T get(int64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = things_.find(number);
    TORCH_CHECK(found != things_.end(), "expected a number that is open, got ", number);
    return found->second;
  }
  T take(int64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = things_.find(number);
    TORCH_CHECK(found != things_.end(), "expected a number that is open, got ", number);
    T thing = std::move(found->second);
    things_.erase(found);
    return thing;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<int64_t, T> things_;
  int64_t last_ = 0;
};

using StoreHandle = c10::intrusive_ptr<c10d::Store>;
using BackendHandle = c10::intrusive_ptr<c10d::Backend>;
using WorkHandle = c10::intrusive_ptr<c10d::Work>;

Numbered<StoreHandle>& stores() {
  static auto* all = new Numbered<StoreHandle>();
  return *all;
}
Numbered<BackendHandle>& groups() {
  static auto* all = new Numbered<BackendHandle>();
  return *all;
}
Numbered<WorkHandle>& works() {
  static auto* all = new Numbered<WorkHandle>();
  return *all;
}

// ---- the store ---------------------------------------------------------------------------------------------------

// Serves the store at the port, or connects to it. Does not wait for other ranks: what is missing is named by the caller.
int64_t storeOpen(const std::string& host, int64_t port, bool serves, int64_t timeoutMs) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(port);
  options.isServer = serves;
  options.waitWorkers = false;
  options.timeout = Milliseconds(timeoutMs);
  return stores().add(c10::make_intrusive<c10d::TCPStore>(host, options));
}

void storeSet(int64_t store, const std::string& key, const std::string& value) {
  stores().get(store)->set(key, std::vector<uint8_t>(value.begin(), value.end()));
}

// The value; empty where there is none yet.
std::string storeGet(int64_t store, const std::string& key) {
  const StoreHandle open = stores().get(store);
  if (!open->check({key})) return "";
  const std::vector<uint8_t> value = open->get(key);
  return std::string(value.begin(), value.end());
}

int64_t storeAdd(int64_t store, const std::string& key, int64_t count) { return stores().get(store)->add(key, count); }

void storeClose(int64_t store) { stores().take(store); }

// ---- addresses ---------------------------------------------------------------------------------------------------

// This host's address as `host` sees it: the local end of a socket towards it. Host names mislead: on Debian, and in pods with
// the host's network, the own one resolves to 127.0.0.1.
std::string addressTowards(const std::string& host, int64_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  TORCH_CHECK(error == 0, "expected the name or address of a host, got ", host, ": ", gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(found, freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int fd = socket(one->ai_family, SOCK_DGRAM, 0);
    if (fd < 0) continue;
    sockaddr_storage own{};
    socklen_t size = sizeof(own);
    const bool isKnown = connect(fd, one->ai_addr, one->ai_addrlen) == 0 && getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0;
    close(fd);
    char text[NI_MAXHOST];
    if (isKnown && getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0) return text;
  }
  TORCH_CHECK(false, "expected a host that can be reached, got ", host, ": there is no route to it");
}

// ---- collectives -------------------------------------------------------------------------------------------------

int64_t groupJoin(int64_t store, const std::string& name, int64_t rank, int64_t size, const std::string& address, int64_t timeoutMs) {
  const auto options = c10d::ProcessGroupGloo::Options::create(Milliseconds(timeoutMs));
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address, false));
  options->threads = 1;  // torch 2.9 has no default
  const auto own = c10::make_intrusive<c10d::PrefixStore>(name, stores().get(store));
  return groups().add(c10::make_intrusive<c10d::ProcessGroupGloo>(own, static_cast<int>(rank), static_cast<int>(size), options));
}

void groupLeave(int64_t group) { groups().take(group); }

void requireParts(const at::Tensor& whole, const at::Tensor& part, const BackendHandle& group) {
  TORCH_CHECK(whole.is_contiguous() && part.is_contiguous(), "expected contiguous tensors");
  TORCH_CHECK(whole.scalar_type() == part.scalar_type(), "expected tensors of one type, got ", whole.scalar_type(), " and ", part.scalar_type());
  TORCH_CHECK(whole.numel() == part.numel() * group->getSize(), "expected ", group->getSize(), " times the ", part.numel(),
              " numbers of a rank's part, got ", whole.numel());
}

// output: (size · n), input: (n) -> work
int64_t allGather(const at::Tensor& output, const at::Tensor& input, int64_t group) {
  const BackendHandle backend = groups().get(group);
  requireParts(output, input, backend);
  at::Tensor to = output.variable_data(), from = input.variable_data();
  return works().add(backend->_allgather_base(to, from));
}

// The first counts[0] numbers of `input` go to rank 0, the next counts[1] to rank 1, ...; `output` gets those of all ranks for this
// one, in order of the ranks, equally many from each. counts: empty for equal parts -> work
int64_t exchange(const at::Tensor& output, const at::Tensor& input, at::IntArrayRef counts, int64_t group) {
  const BackendHandle backend = groups().get(group);
  const int64_t size = backend->getSize();
  TORCH_CHECK(output.is_contiguous() && input.is_contiguous(), "expected contiguous tensors");
  TORCH_CHECK(output.numel() % size == 0, "expected equally many numbers from each of ", size, " ranks, got ", output.numel());
  std::vector<int64_t> given = counts.vec(), taken(static_cast<size_t>(size), output.numel() / size);
  if (given.empty()) given.assign(static_cast<size_t>(size), input.numel() / size);
  TORCH_CHECK(static_cast<int64_t>(given.size()) == size && std::accumulate(given.begin(), given.end(), int64_t{0}) == input.numel(),
              "expected a count for each of ", size, " ranks, in all the ", input.numel(), " numbers given");
  at::Tensor to = output.variable_data(), from = input.variable_data();
  return works().add(backend->alltoall_base(to, from, taken, given));
}

int64_t allReduce(const at::Tensor& values, int64_t group) {
  TORCH_CHECK(values.is_contiguous(), "expected a contiguous tensor");
  std::vector<at::Tensor> one{values.variable_data()};
  return works().add(groups().get(group)->allreduce(one));
}

int64_t broadcast(const at::Tensor& values, int64_t from, int64_t group) {
  TORCH_CHECK(values.is_contiguous(), "expected a contiguous tensor");
  std::vector<at::Tensor> one{values.variable_data()};
  c10d::BroadcastOptions options;
  options.rootRank = from;
  return works().add(groups().get(group)->broadcast(one, options));
}

int64_t barrier(int64_t group) { return works().add(groups().get(group)->barrier()); }

// Frees the memory of `values` (0 bytes) or gives it some again. Views of it stay, and what graphs hold of them: to be computed with,
// they need the memory back, with the numbers that it had.
void storageResize(const at::Tensor& values, int64_t bytes) {
  c10::StorageImpl* storage = values.storage().unsafeGetStorageImpl();
  const c10::Device device = values.device();
  storage->set_data_ptr_noswap(bytes == 0 ? c10::DataPtr(nullptr, device) : c10::GetAllocator(device.type())->allocate(static_cast<size_t>(bytes)));
  storage->set_nbytes(static_cast<size_t>(bytes));
}

// ---- lost ranks --------------------------------------------------------------------------------------------------

Numbered<std::shared_ptr<LostRanks>>& watches() {
  static auto* all = new Numbered<std::shared_ptr<LostRanks>>();
  return *all;
}

int64_t beatsBegin(const std::string& host, int64_t port, const std::string& prefix, int64_t rank, int64_t size, const std::string& self,
                   bool isStoreOurs, int64_t limitMs) {
  return watches().add(std::make_shared<LostRanks>(BeatSettings{host, port, prefix, rank, size, self, isStoreOurs, Milliseconds(limitMs)}));
}
void beatsNote(int64_t beats, const std::string& what) { watches().get(beats)->note(what); }
std::string beatsVerdict(int64_t beats) { return watches().get(beats)->verdict(); }
void beatsEnd(int64_t beats) { watches().take(beats); }

// Waits until the work is done, in slices, so that a lost rank ends it. @throws which rank is lost, or what the work failed with
void wait(int64_t number, int64_t beats) {
  const WorkHandle work = works().take(number);
  const std::shared_ptr<LostRanks> watch = watches().get(beats);
  for (int64_t slices = 0; !work->isCompleted(); ++slices) {
    if (slices % 64 == 63) {
      if (const std::string lost = watch->verdict(); !lost.empty()) TORCH_CHECK(false, kLost, lost);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(slices < 1000 ? 50 : 1000));
  }
  if (work->isSuccess()) return;
  if (const std::string lost = watch->verdictAfterFailure(); !lost.empty()) TORCH_CHECK(false, kLost, lost);
  std::rethrow_exception(work->exception());
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("store_open(str host, int port, bool serves, int timeout_ms) -> int", storeOpen);
  m.def("store_set(int store, str key, str value) -> ()", storeSet);
  m.def("store_get(int store, str key) -> str", storeGet);
  m.def("store_add(int store, str key, int count) -> int", storeAdd);
  m.def("store_close(int store) -> ()", storeClose);
  m.def("address_towards(str host, int port) -> str", addressTowards);
  m.def("group_join(int store, str name, int rank, int size, str address, int timeout_ms) -> int", groupJoin);
  m.def("group_leave(int group) -> ()", groupLeave);
  m.def("group_all_gather(Tensor output, Tensor input, int group) -> int", allGather);
  m.def("group_exchange(Tensor output, Tensor input, int[] counts, int group) -> int", exchange);
  m.def("group_all_reduce(Tensor values, int group) -> int", allReduce);
  m.def("group_broadcast(Tensor values, int from, int group) -> int", broadcast);
  m.def("group_barrier(int group) -> int", barrier);
  m.def("group_wait(int work, int beats) -> ()", wait);
  m.def("storage_resize(Tensor values, int bytes) -> ()", storageResize);
  m.def("beats_begin(str host, int port, str prefix, int rank, int size, str self, bool is_store_ours, int limit_ms) -> int", beatsBegin);
  m.def("beats_note(int beats, str what) -> ()", beatsNote);
  m.def("beats_verdict(int beats) -> str", beatsVerdict);
  m.def("beats_end(int beats) -> ()", beatsEnd);
}

}  // namespace preftune

#endif
