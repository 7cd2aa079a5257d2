// preftune::store_*, preftune::group_*: the store in which ranks meet, and collectives between them, by c10d. Gloo on CPUs.
//
// Collectives run in threads of the backend, for what lies on a GPU in NCCL's stream (nccl/nccl-group.cpp). Each call begins one and
// returns its number; `group_wait` waits for it, and ends early when a rank is lost (lost-ranks.h). Results are written through
// `variable_data`, under another change counter: graphs that hold views of the memory stay valid. Gloo's reduce_scatter is an
// all_reduce of a copy, twice the bytes, and its work is never complete before it is waited for: parts are exchanged, and summed by
// the caller in rank order.
#if defined(__linux__)

#define USE_C10D_GLOO

#include <ATen/ATen.h>
#include <ATen/DynamicLibrary.h>
#include <arpa/inet.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/Logging.h>
#include <netdb.h>
#include <sys/socket.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/library.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <future>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lost-ranks.h"
#include "rank-groups.h"

namespace preftune {
namespace {

// What the message of a failed wait begins with where a rank is lost.
constexpr const char* kLost = "lost: ";
// Gloo's own limit of a collective, years: lost ranks are noticed by their beats. A message that nobody sends is waited for as long as
// a run takes, and where that ends Gloo breaks the group.
constexpr Milliseconds kNever = std::chrono::hours(10 * 365 * 24);
// Threads of a group, hence collectives that run at a time.
constexpr int kThreads = 2;
// Time that a store has to answer: a question, and one that connects, beside its own limit. Both in ms.
constexpr int64_t kAnswering = 15000, kConnecting = 1000;
// An output of this size is gathered in one collective, through a temporary: less to wait for.
constexpr int64_t kSmallBytes = 1 << 18;

Numbered<StoreHandle>& stores() {
  static auto* all = new Numbered<StoreHandle>();
  return *all;
}
Numbered<Group>& groups() {
  static auto* all = new Numbered<Group>();
  return *all;
}
Numbered<Collective>& collectives() {
  static auto* all = new Numbered<Collective>();
  return *all;
}
Numbered<std::shared_ptr<LostRanks>>& watches() {
  static auto* all = new Numbered<std::shared_ptr<LostRanks>>();
  return *all;
}

// ---- addresses ---------------------------------------------------------------------------------------------------

std::string numeric(const sockaddr* address, socklen_t size) {
  char text[NI_MAXHOST] = "";
  getnameinfo(address, size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST);
  return text;
}

bool isLoopback(const std::string& address) { return address.rfind("127.", 0) == 0 || address == "::1"; }

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
    if (isKnown) return numeric(reinterpret_cast<sockaddr*>(&own), size);
  }
  TORCH_CHECK(false, "expected a host that can be reached, got ", host, ": there is no route to it");
}

// ---- the store ---------------------------------------------------------------------------------------------------

// What `ask` gives, asked in another thread: c10d waits for an answer without a limit, and a host that hangs gives none. Time in which
// this process was stopped itself does not count.
template <typename Answer, typename Ask>
Answer answered(Ask ask, Milliseconds limit = Milliseconds(kAnswering)) {
  const auto promise = std::make_shared<std::promise<Answer>>();
  std::future<Answer> answer = promise->get_future();
  std::thread([promise, ask = std::move(ask)]() mutable {
    try {
      // the store that it holds is let go of before the caller has the answer
      Answer given = [own = std::move(ask)] { return own(); }();
      promise->set_value(std::move(given));
    } catch (...) {
      promise->set_exception(std::current_exception());
    }
  }).detach();
  constexpr Milliseconds slice{100};
  for (Milliseconds waited{0}; waited < limit; waited += slice) {
    if (answer.wait_for(slice) == std::future_status::ready) return answer.get();
  }
  TORCH_CHECK(false, "no answer for ", limit.count() / 1000, " s");
}

// A socket that listens on `host` alone; -1 where that is not an address of this host, or one that others cannot reach.
int listenOn(const std::string& host, int64_t port, bool isOneHost) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return -1;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(found, freeaddrinfo);
  const std::string text = numeric(found->ai_addr, found->ai_addrlen);
  if (!isOneHost && isLoopback(text)) return -1;
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 2048) == 0) return fd;
  const int error = errno;
  close(fd);
  // MASTER_ADDR may be that of a service before this host
  TORCH_CHECK(error == EADDRNOTAVAIL, "cannot listen on ", text, " port ", port, ": ", strerror(error));
  return -1;
}

// Serves the store at the port, or connects to it. Does not wait for other ranks: what is missing is named by the caller. It has
// no keys and no encryption, so it listens on the one address that the ranks were given, where that is this host's own.
int64_t storeOpen(const std::string& host, int64_t port, bool serves, bool isOneHost, int64_t timeoutMs) {
  // c10d logs each connection that breaks, or cannot be made yet, with a page of frames; what matters of it is in our own message.
  // A level that the user sets holds; it is Python that reads it elsewhere.
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) {
    FLAGS_caffe2_log_level = 3;  // what ends the process
  } else {
    c10::initLogging();
  }
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(port);
  options.isServer = serves;
  options.waitWorkers = false;
  options.timeout = Milliseconds(timeoutMs);
  const int listening = serves ? listenOn(host, port, isOneHost) : -1;
  if (listening >= 0) options.masterListenFd = listening;
  // its limit is of connecting: it waits without one for the first answer, and another program at the port gives none
  const auto open = [host, options]() -> StoreHandle {
    const auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    // the limit is of looking for it; later NCCL waits in it for rank 0's id, as long as the beats allow
    store->setTimeout(kNever);
    return store;
  };
  return stores().add(serves ? open() : answered<StoreHandle>(open, Milliseconds(timeoutMs + kConnecting)));
}

void storeSet(int64_t store, const std::string& key, const std::string& value) {
  answered<int>([open = stores().get(store), key, value] {
    open->set(key, std::vector<uint8_t>(value.begin(), value.end()));
    return 0;
  });
}

// The value; empty where there is none yet.
std::string storeGet(int64_t store, const std::string& key) {
  return answered<std::string>([open = stores().get(store), key]() -> std::string {
    if (!open->check({key})) return "";
    const std::vector<uint8_t> value = open->get(key);
    return std::string(value.begin(), value.end());
  });
}

int64_t storeAdd(int64_t store, const std::string& key, int64_t count) {
  return answered<int64_t>([open = stores().get(store), key, count] { return open->add(key, count); });
}

void storeClose(int64_t store) { stores().take(store); }

// ---- lost ranks --------------------------------------------------------------------------------------------------

int64_t beatsBegin(const std::string& host, int64_t port, const std::string& prefix, int64_t rank, int64_t size, const std::string& self,
                   bool isStoreOurs, int64_t limitMs) {
  return watches().add(LostRanks::begin({host, port, prefix, rank, size, self, isStoreOurs, Milliseconds(limitMs)}));
}
void beatsNote(int64_t beats, const std::string& what) { watches().get(beats)->note(what); }
std::string beatsVerdict(int64_t beats) { return watches().get(beats)->verdict(); }
void beatsFail(int64_t beats, const std::string& error) { watches().get(beats)->fail(error); }
void beatsEndProcess(int64_t beats, int64_t status, const std::string& ending) { watches().get(beats)->endProcess(status, ending); }
void beatsEnd(int64_t beats) { watches().take(beats)->end(); }

// After a failure of Gloo or NCCL: throws which rank is lost. Where all are there, this one has failed, and the others read so.
[[noreturn]] void throwLost(LostRanks& watch, const std::string& what, const std::exception& error) {
  std::string lost = watch.verdictAfterFailure();
  if (lost.empty()) {
    watch.fail(what + ", and all ranks give signs of life: " + std::string(error.what()).substr(0, std::string(error.what()).find('\n')));
    lost = watch.verdict();
  }
  TORCH_CHECK(false, kLost, lost.empty() ? what : lost);
}

// ---- collectives -------------------------------------------------------------------------------------------------

// What `make` gives, made in another thread: connecting cannot be stopped, and a rank may be lost meanwhile.
template <typename Make>
BackendHandle connected(const std::shared_ptr<LostRanks>& watch, Make make) {
  auto task = std::make_shared<std::packaged_task<BackendHandle()>>(std::move(make));
  std::future<BackendHandle> made = task->get_future();
  std::thread([task] { (*task)(); }).detach();
  while (made.wait_for(Milliseconds(20)) != std::future_status::ready) {
    if (const std::string lost = watch->verdict(); !lost.empty()) TORCH_CHECK(false, kLost, lost);
  }
  try {
    return made.get();
  } catch (const std::exception& error) {
    throwLost(*watch, "it cannot connect to the other ranks", error);
  }
}

// Gloo's group of the ranks that use the same name. address: this host's, as the others reach it.
int64_t groupJoin(int64_t store, const std::string& name, int64_t rank, int64_t size, const std::string& address, int64_t timeoutMs, int64_t beats) {
  const StoreHandle own = c10::make_intrusive<c10d::PrefixStore>(name, stores().get(store));
  const BackendHandle cpu = connected(watches().get(beats), [=]() -> BackendHandle {
    const auto options = c10d::ProcessGroupGloo::Options::create(Milliseconds(timeoutMs));
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address, false));
    options->threads = kThreads;  // torch 2.9 has no default
    const auto made = c10::make_intrusive<c10d::ProcessGroupGloo>(own, static_cast<int>(rank), static_cast<int>(size), options);
    // from here on the beats say when a rank is lost
    made->setTimeout(kNever);
    return made;
  });
  return groups().add({rank, size, cpu, {}});
}

// Waits in a thread for a message that the next rank never sends, which ends when the connection to it does: a rank that is gone is
// found so while the others compute or wait in the store too. The thread keeps the group's connections until the process ends.
void groupWatchNext(int64_t group, int64_t beats) {
  const Group joined = groups().get(group);
  if (joined.size < 2) return;
  const std::shared_ptr<LostRanks> watch = watches().get(beats);
  const int64_t next = (joined.rank + 1) % joined.size;
  std::vector<at::Tensor> message{at::zeros({1}, at::kByte)};
  const WorkHandle never = joined.cpu->recv(message, static_cast<int>(next), 0);
  std::thread([backend = joined.cpu, never, watch, next, message] {
    try {
      never->wait(kNever);
    } catch (const std::exception&) {
      watch->connectionEnded(next);
    }
  }).detach();
}

JoinGpu& joinGpu() {
  static JoinGpu join = nullptr;
  return join;
}

// Loads the library that makes NCCL's groups.
void groupLoadGpu(const std::string& library) {
  if (joinGpu() != nullptr) return;
  at::DynamicLibrary loaded(library.c_str(), nullptr, true);
  joinGpu() = reinterpret_cast<JoinGpu>(loaded.sym(kJoinNccl));
}

// Joins NCCL's group too: what lies on a GPU then goes by it.
int64_t groupJoinGpu(int64_t group, int64_t store, const std::string& name, int64_t beats) {
  Group joined = groups().get(group);
  const JoinGpu join = joinGpu();
  TORCH_CHECK(join != nullptr, "expected the library of NCCL, it is not loaded");
  const std::shared_ptr<LostRanks> watch = watches().get(beats);
  const StoreHandle own = c10::make_intrusive<c10d::PrefixStore>(name, stores().get(store));
  joined.gpu = connected(watch, [=] {
    BackendHandle made;
    join(own, joined.rank, joined.size, made);
    return made;
  });
  // work of NCCL that waits for a lost rank ends by this alone: the thread that trains is in CUDA's own wait
  watch->onLoss([gpu = joined.gpu] { gpu->abort(); });
  groups().take(group);
  return groups().add(joined);
}

void groupLeave(int64_t group) { groups().take(group); }

const BackendHandle& backendOf(const Group& group, const at::Tensor& values) {
  const BackendHandle& backend = values.is_cpu() ? group.cpu : group.gpu;
  TORCH_CHECK(backend, "expected a tensor in the CPU's memory, got one on ", values.device(), ": the group has not joined NCCL");
  return backend;
}

void requireParts(const at::Tensor& whole, const at::Tensor& part, int64_t size) {
  TORCH_CHECK(whole.is_contiguous() && part.is_contiguous(), "expected contiguous tensors");
  TORCH_CHECK(whole.scalar_type() == part.scalar_type(), "expected tensors of one type, got ", whole.scalar_type(), " and ", part.scalar_type());
  TORCH_CHECK(whole.numel() == part.numel() * size, "expected ", size, " times the ", part.numel(), " numbers of a rank's part, got ", whole.numel());
}

// output: (size · n), input: (n), which may be the rank's own part of output -> collective
//
// Gloo's all-gather makes a temporary of the whole output and copies it: what is large is broadcast instead, each part by its rank
// into its place. The bytes sent are the same.
int64_t allGather(const at::Tensor& output, const at::Tensor& input, int64_t group) {
  const Group joined = groups().get(group);
  requireParts(output, input, joined.size);
  at::Tensor to = output.variable_data(), from = input.variable_data();
  const BackendHandle& backend = backendOf(joined, to);
  if (!to.is_cpu() || static_cast<int64_t>(to.nbytes()) <= kSmallBytes) return collectives().add({{backend->_allgather_base(to, from)}, {to, from}});
  Collective parts{{}, {to}};
  const at::Tensor own = to.narrow(0, joined.rank * from.numel(), from.numel());
  if (own.data_ptr() != from.data_ptr()) own.copy_(from);
  for (int64_t rank = 0; rank < joined.size; ++rank) {
    std::vector<at::Tensor> part{to.narrow(0, rank * from.numel(), from.numel())};
    c10d::BroadcastOptions options;
    options.rootRank = rank;
    parts.parts.push_back(backend->broadcast(part, options));
  }
  return collectives().add(parts);
}

// The first counts[0] numbers of `input` go to rank 0, the next counts[1] to rank 1, ...; `output` gets those of all ranks for this
// one, in order of the ranks, equally many from each. counts: empty for equal parts -> collective
int64_t exchange(const at::Tensor& output, const at::Tensor& input, at::IntArrayRef counts, int64_t group) {
  const Group joined = groups().get(group);
  const int64_t size = joined.size;
  TORCH_CHECK(output.is_contiguous() && input.is_contiguous(), "expected contiguous tensors");
  TORCH_CHECK(output.scalar_type() == input.scalar_type(), "expected tensors of one type, got ", output.scalar_type(), " and ", input.scalar_type());
  TORCH_CHECK(output.numel() % size == 0, "expected equally many numbers from each of ", size, " ranks, got ", output.numel());
  TORCH_CHECK(!counts.empty() || input.numel() % size == 0, "expected equally many numbers for each of ", size, " ranks, got ", input.numel());
  std::vector<int64_t> given = counts.vec(), taken(static_cast<size_t>(size), output.numel() / size);
  if (given.empty()) given.assign(static_cast<size_t>(size), input.numel() / size);
  TORCH_CHECK(static_cast<int64_t>(given.size()) == size && std::accumulate(given.begin(), given.end(), int64_t{0}) == input.numel(),
              "expected a count for each of ", size, " ranks, in all the ", input.numel(), " numbers given");
  const int64_t own = given[static_cast<size_t>(joined.rank)];
  TORCH_CHECK(own == taken[0], "expected ", taken[0], " numbers of this rank for itself, as many as from each other, got ", own);
  at::Tensor to = output.variable_data(), from = input.variable_data();
  return collectives().add({{backendOf(joined, to)->alltoall_base(to, from, taken, given)}, {to, from}});
}

int64_t allReduce(const at::Tensor& values, int64_t group) {
  TORCH_CHECK(values.is_contiguous(), "expected a contiguous tensor");
  std::vector<at::Tensor> one{values.variable_data()};
  return collectives().add({{backendOf(groups().get(group), values)->allreduce(one)}, one});
}

int64_t broadcast(const at::Tensor& values, int64_t from, int64_t group) {
  TORCH_CHECK(values.is_contiguous(), "expected a contiguous tensor");
  std::vector<at::Tensor> one{values.variable_data()};
  c10d::BroadcastOptions options;
  options.rootRank = from;
  return collectives().add({{backendOf(groups().get(group), values)->broadcast(one, options)}, one});
}

int64_t barrier(int64_t group) { return collectives().add({{groups().get(group).cpu->barrier()}, {}}); }

// Frees the memory of `values` (0 bytes) or gives it some again. Views of it stay, and what graphs hold of them: to be computed with,
// they need the memory back, with the numbers that it had. Memory of a collective that was not waited for is refused: a thread of
// Gloo, or NCCL's stream, uses it still. After the wait of a GPU's collective the current stream stands behind its event, and
// the allocator hands memory out again in the order of that stream. A GPU's allocator takes it on the current device: hence the guard.
void storageResize(const at::Tensor& values, int64_t bytes) {
  c10::StorageImpl* storage = values.storage().unsafeGetStorageImpl();
  const bool isUsed = collectives().any([storage](const Collective& open) {
    for (const at::Tensor& one : open.tensors) {
      if (one.storage().unsafeGetStorageImpl() == storage) return true;
    }
    return false;
  });
  TORCH_CHECK(!isUsed, "expected memory that no collective uses, got that of one which was not waited for");
  const c10::Device device = values.device();
  const c10::DeviceGuard guard(device);
  storage->set_data_ptr_noswap(bytes == 0 ? c10::DataPtr(nullptr, device) : c10::GetAllocator(device.type())->allocate(static_cast<size_t>(bytes)));
  storage->set_nbytes(static_cast<size_t>(bytes));
}

// Waits for a tenth of a second. c10d says that the time is over by an exception, which may come just before the work is done.
bool isDone(c10d::Work& work) {
  try {
    return work.wait(Milliseconds(100));
  } catch (...) {
    if (!work.isCompleted()) return false;
    if (work.isSuccess()) return true;
    std::rethrow_exception(work.exception());
  }
}

// Waits until the collective is done, or for that of a GPU until the current stream stands behind it; ends early when a rank is lost.
// @throws which rank is lost
void wait(int64_t number, int64_t beats) {
  const Collective open = collectives().take(number);
  const std::shared_ptr<LostRanks> watch = watches().get(beats);
  const bool isOnGpu = !open.tensors.empty() && !open.tensors[0].is_cpu();
  for (const WorkHandle& part : open.parts) {
    try {
      if (isOnGpu) {
        part->wait();
      } else {
        while (!isDone(*part)) {
          if (const std::string lost = watch->verdict(); !lost.empty()) TORCH_CHECK(false, kLost, lost);
        }
      }
    } catch (const std::exception& error) {
      if (std::string(error.what()).rfind(kLost, 0) == 0) throw;
      throwLost(*watch, "its connection to another rank broke", error);
    }
  }
  // aborted work counts as done
  if (const std::string lost = isOnGpu ? watch->verdict() : ""; !lost.empty()) TORCH_CHECK(false, kLost, lost);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("store_open(str host, int port, bool serves, bool is_one_host, int timeout_ms) -> int", storeOpen);
  m.def("store_set(int store, str key, str value) -> ()", storeSet);
  m.def("store_get(int store, str key) -> str", storeGet);
  m.def("store_add(int store, str key, int count) -> int", storeAdd);
  m.def("store_close(int store) -> ()", storeClose);
  m.def("address_towards(str host, int port) -> str", addressTowards);
  m.def("group_join(int store, str name, int rank, int size, str address, int timeout_ms, int beats) -> int", groupJoin);
  m.def("group_join_gpu(int group, int store, str name, int beats) -> int", groupJoinGpu);
  m.def("group_watch_next(int group, int beats) -> ()", groupWatchNext);
  m.def("group_load_gpu(str library) -> ()", groupLoadGpu);
  m.def("group_leave(int group) -> ()", groupLeave);
  m.def("group_all_gather(Tensor output, Tensor input, int group) -> int", allGather);
  m.def("group_exchange(Tensor output, Tensor input, int[] counts, int group) -> int", exchange);
  m.def("group_all_reduce(Tensor values, int group) -> int", allReduce);
  m.def("group_broadcast(Tensor values, int from, int group) -> int", broadcast);
  m.def("group_barrier(int group) -> int", barrier);
  m.def("group_wait(int collective, int beats) -> ()", wait);
  m.def("storage_resize(Tensor values, int bytes) -> ()", storageResize);
  m.def("beats_begin(str host, int port, str prefix, int rank, int size, str self, bool is_store_ours, int limit_ms) -> int", beatsBegin);
  m.def("beats_note(int beats, str what) -> ()", beatsNote);
  m.def("beats_verdict(int beats) -> str", beatsVerdict);
  m.def("beats_fail(int beats, str error) -> ()", beatsFail);
  m.def("beats_end_process(int beats, int status, str ending) -> ()", beatsEndProcess);
  m.def("beats_end(int beats) -> ()", beatsEnd);
}

}  // namespace preftune

#endif
