// What torch asks of a device beside kernels: which one is current, streams, events, generators, hooks.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/GeneratorForPrivateuseone.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <chrono>

#include "memory.h"

namespace porter {

inline void check_index(int64_t index) {
  TORCH_CHECK(index >= 0 && index < settings().devices, settings().label, ": invalid device ordinal ", index, ", there are ",
              settings().devices);
}

// Work is done when the call returns, so there is one stream a device and an event is a time.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  using Clock = std::chrono::steady_clock;

  c10::DeviceType type() const { return kDevice; }
  c10::Device getDevice() const { return {kDevice, current_device}; }
  void uncheckedSetDevice(c10::Device to) const noexcept {
    if (to.index() >= 0) {
      current_device = to.index();
    }
  }
  void setDevice(c10::Device to) const {
    if (to.index() >= 0) {
      check_index(to.index());
    }
    uncheckedSetDevice(to);
  }
  c10::Device exchangeDevice(c10::Device to) const {
    const auto before = getDevice();
    setDevice(to);
    return before;
  }
  c10::DeviceIndex deviceCount() const noexcept { return static_cast<c10::DeviceIndex>(settings().devices); }

  static c10::Stream stream(c10::Device of) {
    return c10::Stream(c10::Stream::DEFAULT, of.index() < 0 ? c10::Device(kDevice, current_device) : of);
  }
  c10::Stream getStream(c10::Device of) const noexcept { return stream(of); }
  c10::Stream getDefaultStream(c10::Device of) const { return stream(of); }
  c10::Stream getStreamFromGlobalPool(c10::Device of, bool = false) const { return stream(of); }
  c10::Stream getNewStream(c10::Device of, int = 0) const { return stream(of); }
  c10::Stream exchangeStream(c10::Stream to) const noexcept { return stream(to.device()); }
  bool queryStream(const c10::Stream&) const { return true; }
  void synchronizeStream(const c10::Stream&) const {}
  void synchronizeDevice(const c10::DeviceIndex) const {}

  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const {
    if (*event == nullptr) {
      *event = new Clock::time_point();
    }
    *static_cast<Clock::time_point*>(*event) = Clock::now();
  }
  void block(void*, const c10::Stream&) const {}
  bool queryEvent(void*) const { return true; }
  void synchronizeEvent(void*) const {}
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept { delete static_cast<Clock::time_point*>(event); }
  double elapsedTime(void* begin, void* end, const c10::DeviceIndex) const {
    const auto passed = *static_cast<Clock::time_point*>(end) - *static_cast<Clock::time_point*>(begin);
    return std::chrono::duration<double, std::milli>(passed).count();
  }
};

// A generator of the device wraps one of the host's: seeded alike, both give the same numbers.
struct Generator final : c10::GeneratorImpl {
  at::Generator host;

  Generator(at::Generator host, c10::DeviceIndex index)
      : GeneratorImpl(c10::Device(kDevice, index), c10::DispatchKeySet(kKey)), host(std::move(host)) {}

  static at::Generator make(c10::DeviceIndex index) {
    const auto at = index < 0 ? current_device : index;
    return at::make_generator<Generator>(at::make_generator<at::CPUGeneratorImpl>(), at);
  }
  static c10::DeviceType device_type() { return kDevice; }

  c10::GeneratorImpl* inner() const { return host.unsafeGetGeneratorImpl(); }
  void set_current_seed(uint64_t seed) { inner()->set_current_seed(seed); }
  void set_offset(uint64_t offset) { inner()->set_offset(offset); }
  uint64_t get_offset() const { return inner()->get_offset(); }
  uint64_t current_seed() const { return inner()->current_seed(); }
  uint64_t seed() { return inner()->seed(); }
  void set_state(const c10::TensorImpl& state) { inner()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const { return inner()->get_state(); }
  GeneratorImpl* clone_impl() const { return new Generator(host.clone(), device().index()); }
};

inline at::Generator& default_generator(c10::DeviceIndex index) {
  static auto* all = new std::vector<at::Generator>();
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  if (all->empty()) {
    all->reserve(kMostDevices);  // references handed out stay good
    for (int i = 0; i < kMostDevices; ++i) {
      all->push_back(Generator::make(static_cast<c10::DeviceIndex>(i)));
    }
  }
  return (*all)[index < 0 ? current_device : index];
}

inline at::Generator make_generator(c10::DeviceIndex index) { return Generator::make(index); }

struct Hooks final : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex) const { return used; }
  bool isBuilt() const { return true; }
  bool isAvailable() const { return settings().devices > 0; }
  void init() const {}
  c10::DeviceIndex deviceCount() const { return static_cast<c10::DeviceIndex>(settings().devices); }
  void setCurrentDevice(c10::DeviceIndex index) const { Guard().setDevice({kDevice, index}); }
  c10::DeviceIndex getCurrentDevice() const { return current_device; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const { return Guard().exchangeDevice({kDevice, index}).index(); }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const {
    const auto before = current_device;
    Guard().uncheckedSetDevice({kDevice, index});
    return before;
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex index) { return default_generator(index); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex index) const { return default_generator(index); }
  at::Generator getNewGenerator(c10::DeviceIndex index) const { return Generator::make(index); }
  c10::Allocator* getPinnedMemoryAllocator() const { return &pinned_memory(); }
  bool isPinnedPtr(const void* data) const { return pinned_memory().holds(data); }
  at::Device getDeviceFromPtr(void*) const { return {kDevice, current_device}; }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const {
    auto* impl = storage.unsafeGetStorageImpl();
    auto data = allocate(bytes, impl->device().index());
    if (bytes > 0 && impl->nbytes() > 0) {
      std::memcpy(data.get(), impl->data_ptr().get(), std::min(bytes, impl->nbytes()));
    }
    impl->set_data_ptr_noswap(std::move(data));
    impl->set_nbytes(bytes);
  }
};

}  // namespace porter
