// Mixed precision: which operators cast their arguments to what is data, given by Python; how they do it is here.
#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <torch/library.h>
#include <torch/version.h>

#include "settings.h"

namespace porter {

constexpr c10::DispatchKey kAutocast = c10::DispatchKey::AutocastPrivateUse1;

#if TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 4
inline bool autocast_enabled() { return at::autocast::is_privateuseone_enabled(); }
inline void enable_autocast(bool enabled) { at::autocast::set_privateuseone_enabled(enabled); }
inline at::ScalarType autocast_dtype() { return at::autocast::get_autocast_privateuseone_dtype(); }
inline void set_autocast_dtype(at::ScalarType dtype) { at::autocast::set_autocast_privateuseone_dtype(dtype); }
#else
inline bool autocast_enabled() { return at::autocast::is_autocast_enabled(kDevice); }
inline void enable_autocast(bool enabled) { at::autocast::set_autocast_enabled(kDevice, enabled); }
inline at::ScalarType autocast_dtype() { return at::autocast::get_autocast_dtype(kDevice); }
inline void set_autocast_dtype(at::ScalarType dtype) { at::autocast::set_autocast_dtype(kDevice, dtype); }
#endif

inline bool castable(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().type() == kDevice && tensor.is_floating_point() && tensor.scalar_type() != at::kDouble;
}

// Calls `visit` with every tensor among the arguments, and puts what it returns in its place.
template <typename Visit>
void for_tensors(const c10::OperatorHandle& op, torch::jit::Stack* stack, Visit visit) {
  for (size_t i = stack->size() - op.schema().arguments().size(); i < stack->size(); ++i) {
    auto& value = (*stack)[i];
    if (value.isTensor()) {
      value = visit(value.toTensor());
    } else if (value.isTensorList()) {
      auto list = value.toTensorVector();
      for (auto& tensor : list) {
        tensor = visit(tensor);
      }
      value = std::move(list);
    }
  }
}

inline void cast(const c10::OperatorHandle& op, torch::jit::Stack* stack, at::ScalarType to) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(kAutocast);
  for_tensors(op, stack, [&](const at::Tensor& tensor) {
    return castable(tensor) ? at::autocast::cached_cast(to, tensor, kDevice) : tensor;
  });
  op.callBoxed(stack);
}

inline void cast_lower(const c10::OperatorHandle& op, torch::jit::Stack* stack) { cast(op, stack, autocast_dtype()); }

inline void cast_float(const c10::OperatorHandle& op, torch::jit::Stack* stack) { cast(op, stack, at::kFloat); }

// To the widest type among the arguments.
inline void cast_promote(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  auto to = autocast_dtype();
  for_tensors(op, stack, [&](const at::Tensor& tensor) {
    if (castable(tensor) && tensor.scalar_type() == at::kFloat) {
      to = at::kFloat;
    }
    return tensor;
  });
  cast(op, stack, to);
}

// Accumulates in float32 where the call names no dtype.
inline void float_dtype(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(kAutocast);
  const auto& arguments = op.schema().arguments();
  const size_t begin = stack->size() - arguments.size();
  if ((*stack)[begin].isTensor() && castable((*stack)[begin].toTensor())) {
    for (size_t i = 0; i < arguments.size(); ++i) {
      if (arguments[i].name() == "dtype" && (*stack)[begin + i].isNone()) {
        (*stack)[begin + i] = static_cast<int64_t>(at::kFloat);
      }
    }
  }
  op.callBoxed(stack);
}

inline void register_autocast(torch::Library& library, const std::string& policy, const Names& names) {
  for (const auto& name : names) {
    auto function = policy == "lower" ? torch::CppFunction::makeFromBoxedFunction<&cast_lower>()
        : policy == "float"           ? torch::CppFunction::makeFromBoxedFunction<&cast_float>()
        : policy == "promote"         ? torch::CppFunction::makeFromBoxedFunction<&cast_promote>()
                                      : torch::CppFunction::makeFromBoxedFunction<&float_dtype>();
    library.impl(name.c_str(), std::move(function));
  }
}

}  // namespace porter
