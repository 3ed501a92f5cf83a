// Device memory: host memory that is counted, limited and never taken for the host's.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/StorageImpl.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <sstream>

#include "settings.h"

namespace porter {

constexpr int kMostDevices = 64;
constexpr size_t kBlock = 512;                     // an allocation is rounded up to this
constexpr size_t kSegment = size_t{2} << 20;       // and what is reserved, to this

inline thread_local c10::DeviceIndex current_device = 0;

// A card's context does not survive fork(): a child of a process that used the device may not.
inline std::atomic<bool> used{false};
inline std::atomic<bool> bad_fork{false};

struct Usage {
  size_t allocated = 0, peak_allocated = 0, reserved = 0, peak_reserved = 0;
  int64_t allocations = 0, frees = 0, exhaustions = 0;
};

struct Memory {
  std::mutex mutex;
  Usage usage[kMostDevices];
};

inline Memory& memory() {
  static auto* made = new Memory();
  return *made;
}

inline size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

inline std::string readable(size_t bytes) {
  std::ostringstream text;
  text.precision(2);
  text << std::fixed;
  if (bytes < (size_t{1} << 20)) {
    text << bytes / 1024.0 << " KiB";
  } else if (bytes < (size_t{1} << 30)) {
    text << bytes / 1048576.0 << " MiB";
  } else {
    text << bytes / 1073741824.0 << " GiB";
  }
  return text.str();
}

inline std::string filled(std::string text, const std::vector<std::pair<std::string, std::string>>& values) {
  for (const auto& [name, value] : values) {
    const std::string mark = "{" + name + "}";
    for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + value.size())) {
      text.replace(at, mark.size(), value);
    }
  }
  return text;
}

inline void check_fork() {
  TORCH_CHECK(!bad_fork, "Cannot re-initialize ", settings().label, " in forked subprocess. To use ", settings().label,
              " with multiprocessing, you must use the 'spawn' start method");
  used = true;
}

inline void take(c10::DeviceIndex index, size_t bytes) {
  auto& all = memory();
  const size_t need = rounded(bytes, kBlock);
  std::lock_guard<std::mutex> lock(all.mutex);
  auto& usage = all.usage[index];
  const size_t total = settings().memory;
  if (usage.allocated + need > total) {
    ++usage.exhaustions;
    // freed but reserved memory counts as free, as it does after a caching allocator's own attempt to empty its cache
    TORCH_CHECK_WITH(OutOfMemoryError, false,
                     filled(settings().exhausted, {{"size", readable(bytes)},
                                                   {"bytes", std::to_string(bytes)},
                                                   {"index", std::to_string(index)},
                                                   {"total", readable(total)},
                                                   {"free", readable(total - usage.allocated)},
                                                   {"allocated", readable(usage.allocated)}}));
  }
  ++usage.allocations;
  usage.allocated += need;
  usage.peak_allocated = std::max(usage.peak_allocated, usage.allocated);
  usage.reserved = std::min(std::max(usage.reserved, rounded(usage.allocated, kSegment)), total);
  usage.peak_reserved = std::max(usage.peak_reserved, usage.reserved);
}

inline void give_back(c10::DeviceIndex index, size_t bytes) {
  auto& all = memory();
  std::lock_guard<std::mutex> lock(all.mutex);
  auto& usage = all.usage[index];
  ++usage.frees;
  usage.allocated -= rounded(bytes, kBlock);
}

inline void empty_cache() {
  auto& all = memory();
  std::lock_guard<std::mutex> lock(all.mutex);
  for (auto& usage : all.usage) {
    usage.reserved = std::min(rounded(usage.allocated, kSegment), settings().memory);
  }
}

// Host memory that a device storage holds, and its place in the books.
struct Held {
  c10::DataPtr host;
  size_t bytes;
  c10::DeviceIndex index;

  static void drop(void* held) {
    auto* self = static_cast<Held*>(held);
    give_back(self->index, self->bytes);
    delete self;
  }
};

inline c10::DataPtr hold(c10::DataPtr host, size_t bytes, c10::DeviceIndex index) {
  take(index, bytes);
  void* data = host.get();
  return {data, new Held{std::move(host), bytes, index}, &Held::drop, c10::Device(kDevice, index)};
}

inline c10::DataPtr allocate(size_t bytes, c10::DeviceIndex index) {
  check_fork();
  if (bytes == 0) {
    return {nullptr, c10::Device(kDevice, index)};
  }
  take(index, bytes);
  try {
    // the host's own allocator, for its alignment: some of MKL's sums depend on it
    auto host = c10::GetCPUAllocator()->allocate(bytes);
    void* data = host.get();
    return {data, new Held{std::move(host), bytes, index}, &Held::drop, c10::Device(kDevice, index)};
  } catch (...) {
    give_back(index, bytes);
    throw;
  }
}

// No `override` here and in guard.h: what is const, what is pure and what exists differs between torch 2.1 and 2.13,
// and the versions between them.
struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) const { return porter::allocate(bytes, current_device); }
  c10::DataPtr allocate(size_t bytes) { return porter::allocate(bytes, current_device); }
  void copy_data(void* to, const void* from, std::size_t bytes) const { std::memcpy(to, from, bytes); }
};

inline Allocator& allocator() {
  static auto* made = new Allocator();
  return *made;
}

// Page-locked host memory: plain memory, remembered by address.
struct PinnedMemory final : c10::Allocator {
  struct Block {
    c10::DataPtr host;
    PinnedMemory* owner;
  };

  std::mutex mutex;
  std::set<std::pair<const char*, size_t>> blocks;

  c10::DataPtr allocate(size_t bytes) const { return const_cast<PinnedMemory*>(this)->allocate(bytes); }

  c10::DataPtr allocate(size_t bytes) {
    check_fork();
    auto host = c10::GetCPUAllocator()->allocate(std::max<size_t>(bytes, 1));
    void* data = host.get();
    {
      std::lock_guard<std::mutex> lock(mutex);
      blocks.emplace(static_cast<const char*>(data), std::max<size_t>(bytes, 1));
    }
    return {data, new Block{std::move(host), this}, &drop, c10::Device(c10::kCPU)};
  }

  void copy_data(void* to, const void* from, std::size_t bytes) const { std::memcpy(to, from, bytes); }

  bool holds(const void* pointer) {
    const auto* address = static_cast<const char*>(pointer);
    std::lock_guard<std::mutex> lock(mutex);
    auto after = blocks.upper_bound({address, SIZE_MAX});
    return after != blocks.begin() && address < (--after)->first + after->second;
  }

  static void drop(void* pointer) {
    auto* block = static_cast<Block*>(pointer);
    {
      std::lock_guard<std::mutex> lock(block->owner->mutex);
      auto& blocks = block->owner->blocks;
      blocks.erase(blocks.lower_bound({static_cast<const char*>(block->host.get()), 0}));
    }
    delete block;
  }
};

inline PinnedMemory& pinned_memory() {
  static auto* made = new PinnedMemory();
  return *made;
}

}  // namespace porter
