// One operator on device tensors, run by the host's kernel on the same memory.
#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/core/stack.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "alias.h"
#include "demands.h"
#include "guard.h"
#include "operators.h"

namespace porter {

using torch::jit::Stack;

inline bool is_narrow(const at::Tensor& tensor) {
  return tensor.defined() && (tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16);
}

[[noreturn]] inline void mixed(const c10::FunctionSchema& schema, size_t argument, c10::Device first, c10::Device second) {
  // torch's own words, which programs and people look for
  TORCH_CHECK(false, "Expected all tensors to be on the same device, but found at least two devices, ", first, " and ", second,
              "! (when checking argument for argument ", schema.arguments()[argument].name(), " in method ", schema.name(), ")");
}

class Call {
 public:
  Call(const c10::FunctionSchema& schema, Operator& operation, Stack* stack)
      : schema_(schema), operation_(operation), stack_(stack), begin_(stack->size() - schema.arguments().size()) {}

  // Replaces every device tensor on the stack by the host's view of it.
  void to_host() {
    const size_t number = schema_.arguments().size();
    find_device(number);
    for (size_t i = 0; i < number; ++i) {
      auto& value = (*stack_)[begin_ + i];
      if (value.isTensor()) {
        value = taken(i, value.toTensor());
      } else if (value.isTensorList()) {
        auto list = value.toTensorVector();
        for (auto& tensor : list) {
          tensor = taken(i, tensor);
        }
        value = std::move(list);
      } else if (value.isOptionalTensorList()) {
        c10::List<c10::optional<at::Tensor>> list;
        for (c10::optional<at::Tensor> tensor : value.toOptionalTensorList()) {
          if (tensor.has_value() && tensor->defined()) {
            list.push_back(taken(i, *tensor));
          } else {
            list.push_back(tensor);
          }
        }
        value = std::move(list);
      } else if (value.isDevice()) {
        value = c10::Device(c10::kCPU);
      } else if (value.isGenerator() || (value.isNone() && takes_generator(i))) {
        value = host_generator(value);
      }
    }
  }

  // Replaces float16 and bfloat16 by float32, and remembers where to put the results.
  void widen() {
    const size_t number = schema_.arguments().size();
    for (size_t i = 0; i < number; ++i) {
      auto& value = (*stack_)[begin_ + i];
      if (value.isTensor()) {
        value = wide(value.toTensor());
      } else if (value.isTensorList()) {
        auto list = value.toTensorVector();
        for (auto& tensor : list) {
          tensor = wide(tensor);
        }
        value = std::move(list);
      } else if (value.isBool() && schema_.arguments()[i].name() == "half_to_float") {
        value = false;  // it is float already
      } else if (value.isInt() && schema_.arguments()[i].name() == "dtype") {
        dtype_given_ = true;
        const auto given = static_cast<at::ScalarType>(value.toInt());
        if (given == at::kHalf || given == at::kBFloat16) {
          value = static_cast<int64_t>(at::kFloat);
          dtype_given_ = false;
        }
      }
    }
    widened_ = true;
  }

  // What comes in as 64 bits, and is 32 on the device, is cut before it is computed with.
  void shorten_arguments() {
    if (!long_) {
      return;
    }
    for (size_t i = 0; i < schema_.arguments().size(); ++i) {
      auto& value = (*stack_)[begin_ + i];
      if (!operation_.written[i] && value.isTensor() && shortened(value.toTensor())) {
        value = value.toTensor().clone();
        shorten(value.toTensor());
      }
    }
  }

  // What the kernel wrote, and what it returned, is the device's.
  void to_device() {
    for (auto& each : taken_) {
      if (each.written) {
        if (each.wide.defined()) {
          if (each.host.sizes() != each.wide.sizes()) {
            each.host.resize_(each.wide.sizes());
          }
          each.host.copy_(each.wide);
        }
        shorten(each.host);
        adopt(each.device, each.host);
      }
    }
    const size_t number = schema_.returns().size();
    const size_t begin = stack_->size() - number;
    for (size_t i = 0; i < number; ++i) {
      auto& value = (*stack_)[begin + i];
      if (value.isTensor()) {
        value = returned(value.toTensor(), i);
      } else if (value.isTensorList()) {
        auto list = value.toTensorVector();
        for (auto& tensor : list) {
          tensor = returned(tensor, i);
        }
        value = std::move(list);
      }
    }
  }

  bool narrow() const { return narrow_ != at::ScalarType::Undefined; }

 private:
  struct Taken {
    at::Tensor device, host, wide;
    bool written;
  };

  const c10::FunctionSchema& schema_;
  Operator& operation_;
  Stack* stack_;
  size_t begin_;
  c10::Device device_{kDevice, -1};
  c10::SmallVector<Taken, 8> taken_;
  std::vector<std::pair<c10::StorageImpl*, c10::Storage>> fresh_;
  at::ScalarType narrow_ = at::ScalarType::Undefined;
  bool long_ = false, has_float_ = false, dtype_given_ = false, widened_ = false;

  void find_device(size_t number) {
    device_.set_index(current_device);
    for (size_t i = 0; i < number; ++i) {
      const auto& value = (*stack_)[begin_ + i];
      if (value.isTensor() && on_device(value.toTensor())) {
        device_ = value.toTensor().device();
        return;
      }
      if (value.isDevice() && value.toDevice().type() == kDevice && value.toDevice().has_index()) {
        device_ = value.toDevice();
      } else if (value.isTensorList()) {
        for (const at::Tensor& tensor : value.toTensorVector()) {
          if (on_device(tensor)) {
            device_ = tensor.device();
            return;
          }
        }
      }
    }
  }

  // Whether the device computes this tensor's 64 bits as 32. On the device float64 holds no more in any case.
  bool shortened(const at::Tensor& tensor) const {
    return tensor.defined() && ((settings().short_double && tensor.scalar_type() == at::kDouble) ||
                                (operation_.short_long && tensor.scalar_type() == at::kLong));
  }

  void shorten(const at::Tensor& tensor) const {
    if (shortened(tensor)) {
      tensor.copy_(tensor.to(tensor.scalar_type() == at::kDouble ? at::kFloat : at::kInt));
    }
  }

  at::Tensor taken(size_t argument, const at::Tensor& tensor) {
    if (!tensor.defined()) {
      return tensor;
    }
    const bool written = operation_.written[argument];
    if (!on_device(tensor)) {
      return from_host(argument, tensor, written);
    }
    if (tensor.device() != device_) {
      mixed(schema_, argument, device_, tensor.device());
    }
    if (operation_.takes_masks && argument == 1 && operation_.name != "aten::index.Tensor_out" &&
        (tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte)) {
      counts().add(Kind::kSynchronisation, operation_.name);  // how many are set, the host has to know
    }
    if (settings().no_dtype[static_cast<size_t>(tensor.scalar_type())]) {
      limited(operation_.name, std::string(c10::toString(tensor.scalar_type())) + ": " + settings().no_dtype_reason);
    }
    auto host = host_alias(tensor);
    if (shortened(tensor)) {
      long_ = true;
    }
    if (is_narrow(tensor)) {
      narrow_ = tensor.scalar_type();
    } else if (tensor.scalar_type() == at::kFloat) {
      has_float_ = true;
    }
    taken_.push_back({tensor, host, at::Tensor(), written});
    return host;
  }

  // Host tensors are let in where torch lets them in: as numbers, and as indices, which travel.
  at::Tensor from_host(size_t argument, const at::Tensor& tensor, bool written) {
    if (tensor.is_cpu() && operation_.takes_masks && argument == 1) {
      counts().add(Kind::kUpload, operation_.name, static_cast<int64_t>(tensor.nbytes()));
      return tensor;
    }
    if (!tensor.is_cpu() || written || tensor.dim() > 0) {
      mixed(schema_, argument, device_, tensor.device());
    }
    return tensor;
  }

  bool takes_generator(size_t argument) const {
    const auto& type = schema_.arguments()[argument].type();
    return type->kind() == c10::TypeKind::OptionalType &&
           type->castRaw<c10::OptionalType>()->getElementType()->kind() == c10::TypeKind::GeneratorType;
  }

  at::Generator host_generator(const c10::IValue& value) const {
    const at::Generator generator = value.isNone() ? default_generator(device_.index()) : value.toGenerator();
    TORCH_CHECK(generator.device().type() == kDevice, "Expected a '", settings().type,
                "' device type for generator but found '", c10::DeviceTypeName(generator.device().type(), true), "'");
    return static_cast<Generator*>(generator.unsafeGetGeneratorImpl())->host;
  }

  at::Tensor wide(const at::Tensor& tensor) {
    if (!is_narrow(tensor)) {
      return tensor;
    }
    auto made = tensor.to(at::kFloat);
    for (auto& each : taken_) {
      if (each.host.is_same(tensor)) {
        each.wide = made;
      }
    }
    return made;
  }

  // Whether a fresh float32 result of a widened operator is to be rounded back. Statistics of normalisations stay
  // float32, and gradients of float32 weights do.
  bool rounds(size_t result) const {
    if (!widened_ || dtype_given_) {
      return false;
    }
    const bool normalisation = operation_.name.find("_norm") != std::string::npos;
    if (normalisation && operation_.name.find("stats") != std::string::npos) {
      return false;
    }
    if (normalisation && result > 0) {
      return operation_.name.find("backward") != std::string::npos && !has_float_;
    }
    return normalisation || !has_float_;
  }

  at::Tensor returned(const at::Tensor& tensor, size_t result) {
    if (!tensor.defined()) {
      return tensor;
    }
    if (tensor._is_zerotensor()) {  // zeros without memory, which some gradients are: the device has memory for all
      return returned(at::zeros(tensor.sizes(), tensor.options()), result);
    }
    auto* storage = tensor.storage().unsafeGetStorageImpl();
    for (auto& each : taken_) {
      if (each.host.is_same(tensor) || (each.wide.defined() && each.wide.is_same(tensor))) {
        return each.device;
      }
    }
    for (auto& each : taken_) {
      if (each.host.storage().unsafeGetStorageImpl() == storage) {
        return on_storage(each.device.storage(), tensor);  // a view
      }
    }
    if (tensor.scalar_type() == at::kFloat && rounds(result)) {
      auto rounded = tensor.to(narrow_);
      return on_storage(device_storage(rounded, device_.index()), rounded);
    }
    shorten(tensor);
    for (auto& [known, of_device] : fresh_) {
      if (known == storage) {
        return on_storage(of_device, tensor);
      }
    }
    auto made = device_storage(tensor, device_.index());
    fresh_.emplace_back(storage, made);
    return on_storage(made, tensor);
  }
};

// convolution_backward wants to know of a bias what the device's own form of it leaves out.
inline void insert_bias_sizes(Stack* stack, size_t begin) {
  const auto weight = (*stack)[begin + 2].toTensor();
  const bool transposed = (*stack)[begin + 6].toBool();
  const int64_t groups = (*stack)[begin + 8].toInt();
  const int64_t channels = transposed ? weight.size(1) * groups : weight.size(0);
  stack->insert(stack->begin() + static_cast<int64_t>(begin) + 3, c10::IValue(std::vector<int64_t>{channels}));
}

inline void check_same_dtype(const Stack& stack, size_t begin, const c10::FunctionSchema& schema) {
  at::Tensor first;
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    const auto& value = stack[begin + i];
    if (value.isTensor() && value.toTensor().defined()) {
      const auto& tensor = value.toTensor();
      TORCH_CHECK(!first.defined() || first.scalar_type() == tensor.scalar_type(), "Input type (", first.scalar_type(),
                  ") and weight type (", tensor.scalar_type(), ") should be the same, in ", schema.name());
      first = tensor;
    }
  }
}

inline void run_on_host(const c10::OperatorHandle& op, Operator& operation, Stack* stack) {
  // below autograd and autocast, both the device's and the host's
  at::AutoDispatchBelowADInplaceOrView below;
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const c10::DispatchKeySet host(c10::DispatchKey::CPU);
  if (!operation.instead.has_value()) {
    op.redispatchBoxed(host, stack);
    return;
  }
  if (operation.name == "aten::convolution_backward_overrideable") {
    insert_bias_sizes(stack, stack->size() - op.schema().arguments().size());
  }
  operation.instead->redispatchBoxed(host, stack);
}

inline void run_narrow(const c10::OperatorHandle& op, Operator& operation, Stack* stack, Call& call) {
  const size_t number = op.schema().arguments().size();
  if (operation.widened || operation.narrow == 2) {
    call.widen();
    run_on_host(op, operation, stack);
    return;
  }
  if (operation.narrow == 1) {
    run_on_host(op, operation, stack);
    return;
  }
  Stack kept(stack->end() - static_cast<int64_t>(number), stack->end());  // a failed call may have eaten its arguments
  const size_t below = stack->size() - number;
  try {
    run_on_host(op, operation, stack);
    operation.narrow = 1;
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    if (text.find("not implemented for") == std::string::npos && text.find("not supported") == std::string::npos &&
        text.find("mixed dtype") == std::string::npos && text.find("expected scalar type") == std::string::npos) {
      throw;
    }
    stack->resize(below);
    stack->insert(stack->end(), kept.begin(), kept.end());
    operation.narrow = 2;
    call.widen();
    run_on_host(op, operation, stack);
  }
}

inline void run(const c10::OperatorHandle& op, Operator& operation, Stack* stack) {
  const auto& schema = op.schema();
  Call call(schema, operation, stack);
  call.to_host();
  call.shorten_arguments();
  if (call.narrow()) {
    if (operation.name.find("convolution") != std::string::npos) {
      check_same_dtype(*stack, stack->size() - schema.arguments().size(), schema);
    }
    run_narrow(op, operation, stack, call);
  } else {
    run_on_host(op, operation, stack);
  }
  call.to_device();
}

// The kernel of every operator that has none of its own here.
inline void boxed(const c10::OperatorHandle& op, Stack* stack) {
  auto& operation = operators().of(op.schema());
  enter(operation);
  if (operation.facts == nullptr) {
    run(op, operation, stack);
    return;
  }
  const size_t number = op.schema().arguments().size();
  const Arguments given{stack->data() + (stack->size() - number), number};
  check_demands(operation, given);
  const auto trips = set_out(operation, given);
  run(op, operation, stack);
  const size_t results = op.schema().returns().size();
  come_back(trips, stack->data() + (stack->size() - results), results);
}

// A view that the vendor has its own kernel for: what it demands is checked, then torch makes the view as for any device.
inline void boxed_view(const c10::OperatorHandle& op, Stack* stack) {
  const auto& operation = operators().of(op.schema());
  if (operation.facts != nullptr) {
    const size_t number = op.schema().arguments().size();
    check_demands(operation, {stack->data() + (stack->size() - number), number});
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
}

}  // namespace porter
