// One memory, two tensors: the device's as the program sees it, the host's as the CPU kernels see it.
#pragma once

#include <ATen/EmptyTensor.h>
#include <c10/core/StorageImpl.h>
#include <c10/core/TensorImpl.h>

#include "memory.h"

namespace porter {

inline bool on_device(const at::Tensor& tensor) { return tensor.defined() && tensor.device().type() == kDevice; }

inline void like(const at::Tensor& tensor, const at::Tensor& other) {
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(other.sizes(), other.strides(), other.storage_offset());
}

// The host's view of a device tensor. A kernel may resize it: then its storage is another one, see adopt().
inline at::Tensor host_alias(const at::Tensor& device) {
  const auto& storage = device.storage();
  auto impl = c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), storage.nbytes(),
      c10::DataPtr(const_cast<void*>(storage.data()), c10::Device(c10::kCPU)), c10::GetCPUAllocator(), /*resizable=*/true);
  auto host = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(std::move(impl)), c10::DispatchKeySet(c10::DispatchKey::CPU),
                                                       device.dtype());
  like(host, device);
  if (device.unsafeGetTensorImpl()->is_wrapped_number()) {
    host.unsafeGetTensorImpl()->set_wrapped_number(true);
  }
  // lazily conjugated or negated, as views of complex tensors are
  host._set_conj(device.is_conj());
  host._set_neg(device.is_neg());
  return host;
}

inline at::Tensor on_storage(const c10::Storage& storage, const at::Tensor& like_this) {
  auto made = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(storage), c10::DispatchKeySet(kKey), like_this.dtype());
  like(made, like_this);
  return made;
}

inline c10::DataPtr stolen(const at::Tensor& host, c10::DeviceIndex index) {
  auto* impl = host.storage().unsafeGetStorageImpl();
  const size_t bytes = impl->nbytes();
  auto data = impl->set_data_ptr(c10::DataPtr(nullptr, c10::Device(c10::kCPU)));
  return hold(std::move(data), bytes, index);
}

// A kernel's fresh result becomes the device's, without a copy.
inline c10::Storage device_storage(const at::Tensor& host, c10::DeviceIndex index) {
  const size_t bytes = host.storage().nbytes();
  if (host.storage().use_count() > 1 || !host.storage().resizable()) {
    // something else holds it too, a constant say: it stays there
    auto data = allocate(bytes, index);
    if (bytes > 0) {
      std::memcpy(data.get(), host.storage().data(), bytes);
    }
    return c10::Storage(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), bytes, std::move(data),
                                                              &allocator(), true));
  }
  return c10::Storage(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), bytes, stolen(host, index),
                                                            &allocator(), true));
}

// What a kernel did to the host's view of a tensor happens to the device's.
inline void adopt(const at::Tensor& device, const at::Tensor& host) {
  auto* to = device.storage().unsafeGetStorageImpl();
  if (host.storage().data() != device.storage().data()) {
    const size_t bytes = host.storage().nbytes();
    to->set_data_ptr_noswap(stolen(host, device.device().index()));
    to->set_nbytes(bytes);
  }
  if (device.sizes() != host.sizes() || device.strides() != host.strides() ||
      device.storage_offset() != host.storage_offset()) {
    like(device, host);
  }
}

}  // namespace porter
