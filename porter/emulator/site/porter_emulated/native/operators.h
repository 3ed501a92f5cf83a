// What is known of an operator, found out once: its place in the vendor's list, its arguments, how it is run.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "counts.h"
#include "memory.h"

namespace porter {

struct Operator {
  std::string name;             // aten::add.out
  bool supported = true;        // has a kernel on the vendor's device
  std::string reason;           // why not, where it is more than the list
  bool synchronises = false;
  bool widened = false;         // float16 and bfloat16 are computed in float32 from the start
  bool short_long = false;      // int64 is computed as int32
  bool takes_masks = false;     // indices may be masks, which synchronise, or lie on the host
  std::atomic<int> narrow{0};   // float16, bfloat16: 0 not known, 1 the host has a kernel, 2 it has none
  std::atomic<int64_t> count{0};
  std::string first;            // the line of its first use
  std::atomic<bool> first_known{false};
  std::vector<bool> written;    // by argument
  std::vector<Operator*> parts; // counted in its stead
  c10::optional<c10::OperatorHandle> instead;
  const Facts* facts = nullptr; // none, if the vendor's kernel demands nothing that is known
};

class Operators {
 public:
  Operator& of(const c10::FunctionSchema& schema) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto& found = by_schema_[&schema];
    if (found == nullptr) {
      found = &named_locked(full_name(schema));
      for (const auto& argument : schema.arguments()) {
        const bool said = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
        found->written.push_back(said || is_running(schema, argument));
      }
    }
    return *found;
  }

  Operator& named(const std::string& name) {
    std::lock_guard<std::mutex> lock(mutex_);
    return named_locked(name);
  }

  std::vector<Operator*> all() {
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Operator*> list;
    for (auto& [name, made] : by_name_) {
      list.push_back(made.get());
    }
    return list;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<const c10::FunctionSchema*, Operator*> by_schema_;
  std::map<std::string, std::unique_ptr<Operator>> by_name_;

  // torch's schemas do not say that batch norm writes its running statistics
  static bool is_running(const c10::FunctionSchema& schema, const c10::Argument& argument) {
    return (argument.name() == "running_mean" || argument.name() == "running_var") &&
           schema.name().find("native_batch_norm") != std::string::npos && schema.name().find("backward") == std::string::npos;
  }

  static std::string full_name(const c10::FunctionSchema& schema) {
    return schema.overload_name().empty() ? schema.name() : schema.name() + "." + schema.overload_name();
  }

  // aten::add of aten::add.out and aten::add_
  static std::string base_name(const std::string& name) {
    auto base = name.substr(0, name.find('.'));
    if (base.back() == '_') {
      base.pop_back();
    }
    return base;
  }

  static bool listed(const std::string& name) {
    const auto& known = settings();
    if (known.everything || known.listed.count(name)) {
      return true;
    }
    auto found = known.reached_as.find(name);
    return found != known.reached_as.end() &&
           std::any_of(found->second.begin(), found->second.end(), [&](const auto& x) { return known.listed.count(x) > 0; });
  }

  Operator& named_locked(const std::string& name) {
    auto& made = by_name_[name];
    if (made != nullptr) {
      return *made;
    }
    made = std::make_unique<Operator>();
    const auto& known = settings();
    made->name = name;
    made->supported = listed(name);
    auto limit = known.limits.find(name);
    if (limit != known.limits.end()) {
      made->supported = false;
      made->reason = limit->second;
    }
    auto facts = known.facts.find(name);
    made->facts = facts == known.facts.end() ? nullptr : &facts->second;
    made->synchronises = known.synchronising.count(name) > 0;
    made->short_long = known.short_long.count(base_name(name)) > 0;
    made->widened = known.widened.count(name) > 0;
    made->takes_masks = name == "aten::_index_put_impl_" || name == "aten::index_put_" || name == "aten::index.Tensor" ||
                        name == "aten::index.Tensor_out";
    auto instead = known.instead_of.find(name);
    if (instead != known.instead_of.end()) {
      const auto& other = instead->second;
      const auto dot = other.find('.');
      made->instead = c10::Dispatcher::singleton().findSchema(
          {other.substr(0, dot), dot == std::string::npos ? "" : other.substr(dot + 1)});
    }
    Operator& operation = *made;  // the map's nodes stay where they are when it grows
    auto parts = known.composites.find(name);
    if (parts != known.composites.end() && !operation.supported) {
      operation.supported = true;
      for (const auto& part : parts->second) {
        operation.parts.push_back(&named_locked(part));
      }
    }
    return operation;
  }
};

inline Operators& operators() {
  static auto* made = new Operators();
  return *made;
}

inline void count(Operator& operation) {
  ++operation.count;
  if (settings().trace) {
    counts().add(Kind::kOperator, operation.name);
  } else if (!operation.first_known.exchange(true)) {
    operation.first = lines().now();
  }
}

[[noreturn]] inline void refuse(const std::string& name, const std::string& reason) {
  auto text = filled(settings().refusal, {{"operator", name}, {"type", settings().type}});
  text += " [" + settings().profile + ": " + (reason.empty() ? "not in the vendor's list of operators" : reason) + "]";
  C10_THROW_ERROR(NotImplementedError, std::move(text));
}

// Counts the operator; raises the vendor's error if the device has no kernel for it. Every kernel begins here.
inline void enter(Operator& operation) {
  if (!operation.parts.empty()) {
    for (auto* part : operation.parts) {
      enter(*part);
    }
    return;
  }
  if (!operation.supported) {
    const bool falls_back = settings().falls_back && operation.reason.empty();
    counts().add(falls_back ? Kind::kFallback : Kind::kRefusal, operation.name);
    if (settings().strict && !falls_back) {
      refuse(operation.name, operation.reason);
    }
  }
  count(operation);
  if (operation.synchronises) {
    counts().add(Kind::kSynchronisation, operation.name);
  }
}

// A limit that is not an operator's own, such as a dtype that the device has not.
inline void limited(const std::string& name, const std::string& reason) {
  counts().add(Kind::kRefusal, name);
  if (settings().strict) {
    refuse(name, reason);
  }
}

}  // namespace porter
