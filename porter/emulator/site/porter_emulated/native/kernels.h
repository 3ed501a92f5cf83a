// The operators that are not a kernel of the host's on the same memory: memory itself, views, copies, scalars.
#pragma once

#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include "call.h"

namespace porter {

// Counts this operator; its name is looked up once.
#define PORTER_ENTER(NAME)                                  \
  static Operator& this_operator = operators().named(NAME); \
  enter(this_operator)

inline c10::DeviceIndex index_of(c10::optional<c10::Device> device) {
  const auto index = device.has_value() && device->has_index() ? device->index() : current_device;
  check_index(index);
  return index;
}

inline at::Tensor empty(c10::IntArrayRef size, c10::optional<at::ScalarType> dtype, c10::optional<at::Layout>,
                        c10::optional<at::Device> device, c10::optional<bool>, c10::optional<at::MemoryFormat> format) {
  PORTER_ENTER("aten::empty.memory_format");
  const c10::DeviceGuard on(c10::Device(kDevice, index_of(device)));
  return at::detail::empty_generic(size, &allocator(), c10::DispatchKeySet(kKey), c10::dtype_or_default(dtype), format);
}

inline at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, c10::optional<at::ScalarType> dtype,
                                c10::optional<at::Layout>, c10::optional<at::Device> device, c10::optional<bool>) {
  PORTER_ENTER("aten::empty_strided");
  const c10::DeviceGuard on(c10::Device(kDevice, index_of(device)));
  return at::detail::empty_strided_generic(size, stride, &allocator(), c10::DispatchKeySet(kKey), c10::dtype_or_default(dtype));
}

inline at::Tensor as_strided(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride, c10::optional<int64_t> offset) {
  PORTER_ENTER("aten::as_strided");
  return at::native::as_strided_tensorimpl(self, size, stride, offset);
}

inline at::Tensor view(const at::Tensor& self, c10::IntArrayRef size) {
  PORTER_ENTER("aten::view");
  return at::native::view(self, size);
}

inline at::Tensor reshape_alias(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride) {
  PORTER_ENTER("aten::_reshape_alias");
  return at::native::_reshape_alias(self, size, stride);
}

inline at::Tensor& place(at::Tensor& self, const c10::Storage& storage, int64_t offset, c10::IntArrayRef size, c10::IntArrayRef stride) {
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(storage);
  if (stride.size() == size.size()) {
    impl->set_sizes_and_strides(size, stride, offset);
  } else {
    impl->set_storage_offset(offset);
    impl->set_sizes_contiguous(size);
  }
  return self;
}

inline at::Tensor& set_storage_at(at::Tensor& self, at::Storage source, int64_t offset, c10::IntArrayRef size, c10::IntArrayRef stride) {
  PORTER_ENTER("aten::set_.source_Storage_storage_offset");
  return place(self, source, offset, size, stride);
}

inline at::Tensor& set_storage(at::Tensor& self, at::Storage source) {
  PORTER_ENTER("aten::set_.source_Storage");
  return place(self, source, 0, {static_cast<int64_t>(source.nbytes() / self.dtype().itemsize())}, {});
}

inline at::Tensor& set_tensor(at::Tensor& self, const at::Tensor& source) {
  PORTER_ENTER("aten::set_.source_Tensor");
  return self.is_same(source) ? self : place(self, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

inline at::Tensor& set_nothing(at::Tensor& self) {
  PORTER_ENTER("aten::set_");
  c10::Storage none(c10::Storage::use_byte_size_t(), 0, allocate(0, self.device().index()), &allocator(), true);
  return place(self, none, 0, {0}, {});
}

inline void count_copy(Operator& operation, const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  if (from.is_cpu()) {
    counts().add(Kind::kUpload, operation.name, static_cast<int64_t>(from.numel() * from.element_size()));
  } else if (to.is_cpu()) {
    counts().add(Kind::kDownload, operation.name, static_cast<int64_t>(to.numel() * to.element_size()));
    if (!non_blocking || !pinned_memory().holds(to.data_ptr())) {
      counts().add(Kind::kSynchronisation, operation.name);
    }
  }
}

// Bytes travel as they are; a cast is a kernel's work, for dtypes that the device computes with.
inline void check_cast(Operator& operation, const at::Tensor& from, const at::Tensor& to) {
  const auto& none = settings().no_dtype;
  if (from.scalar_type() != to.scalar_type() && none.any()) {
    for (const auto dtype : {from.scalar_type(), to.scalar_type()}) {
      if (none[static_cast<size_t>(dtype)]) {
        limited(operation.name, std::string(c10::toString(dtype)) + ": " + settings().no_dtype_reason);
        return;
      }
    }
  }
}

// A copy within the device has what it demands checked; one to or from the host is counted as what it is already.
inline c10::SmallVector<const Trip*, 2> copies_through_host(const Operator& operation, const at::Tensor& from, const at::Tensor& to,
                                                            bool non_blocking) {
  if (operation.facts == nullptr) {
    return {};
  }
  const c10::IValue values[] = {from, to, non_blocking};
  const Arguments given{values, 3};
  check_demands(operation, given);
  return on_device(from) && on_device(to) ? set_out(operation, given) : c10::SmallVector<const Trip*, 2>();
}

inline at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool non_blocking) {
  PORTER_ENTER("aten::_copy_from");
  const auto trips = copies_through_host(this_operator, self, to, non_blocking);
  count_copy(this_operator, self, to, non_blocking);
  check_cast(this_operator, self, to);
  at::AutoDispatchBelowADInplaceOrView below;
  const auto source = on_device(self) ? host_alias(self) : self;
  auto target = on_device(to) ? host_alias(to) : to;
  target.copy_(source);
  if (settings().short_double && to.scalar_type() == at::kDouble && on_device(to)) {
    target.copy_(target.to(at::kFloat));  // cut on its way, MLU keeps float32 where torch says float64
  }
  const c10::IValue result(to);
  come_back(trips, &result, 1);
  return to;
}

inline at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& to) {
  if (self.sizes() != to.sizes()) {
    to.resize_(self.sizes());
  }
  return copy_from(self, to, false);
}

inline at::Scalar local_scalar_dense(const at::Tensor& self) {
  PORTER_ENTER("aten::_local_scalar_dense");
  at::AutoDispatchBelowADInplaceOrView below;
  return host_alias(self).item();
}

inline at::Tensor pin_memory(const at::Tensor& self, c10::optional<at::Device>) {
  PORTER_ENTER("aten::_pin_memory");
  TORCH_CHECK(self.is_cpu(), "cannot pin '", self.toString(), "' only dense CPU tensors can be pinned");
  c10::Storage storage(c10::Storage::use_byte_size_t(), self.storage().nbytes(), pinned_memory().allocate(self.storage().nbytes()),
                       &pinned_memory(), false);
  auto pinned = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), self.dtype());
  like(pinned, self);
  at::AutoDispatchBelowADInplaceOrView below;
  pinned.copy_(self);
  return pinned;
}

inline bool is_pinned(const at::Tensor& self, c10::optional<at::Device>) {
  return self.is_cpu() && self.has_storage() && pinned_memory().holds(self.storage().data());
}

inline void record_stream(at::Tensor&, c10::Stream) {}

inline void register_kernels(torch::Library& library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("as_strided", as_strided);
  library.impl("view", view);
  library.impl("_reshape_alias", reshape_alias);
  library.impl("set_.source_Storage_storage_offset", set_storage_at);
  library.impl("set_.source_Storage", set_storage);
  library.impl("set_.source_Tensor", set_tensor);
  library.impl("set_", set_nothing);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("_local_scalar_dense", local_scalar_dense);
  library.impl("_pin_memory", pin_memory);
  library.impl("is_pinned", is_pinned);
  library.impl("record_stream", record_stream);
}

}  // namespace porter
