// A device of torch's PrivateUse1 key over host memory: the emulation of a card. What Python calls it by is below.

#include <ATen/ATen.h>
#include <torch/csrc/Dtype.h>
#include <torch/csrc/DynamicTypes.h>
#include <torch/csrc/utils/pybind.h>

#include "autocast.h"
#include "kernels.h"
#ifdef PORTER_DISTRIBUTED
#include "group.h"
#endif
#include "missing.h"

namespace porter {

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

// Newer versions of torch ask the hooks for a generator, and warn of the way that older ones know.
template <typename Interface>
auto register_generator(int) -> decltype(&Interface::getNewGenerator, void()) {}

template <typename Interface>
void register_generator(long) {
  static at::_GeneratorRegister registered(make_generator);
}

using Libraries = std::vector<std::unique_ptr<torch::Library>>;

torch::Library& library(const char* name, c10::DispatchKey key) {
  static auto* kept = new Libraries();  // what is registered stays, until the process ends
  kept->push_back(std::make_unique<torch::Library>(torch::Library::IMPL, name, key, __FILE__, __LINE__));
  return *kept->back();
}

void configure(const py::dict& given) {
  auto& to = settings();
  to.type = given["type"].cast<std::string>();
  to.label = given["label"].cast<std::string>();
  to.profile = given["profile"].cast<std::string>();
  to.refusal = given["refusal"].cast<std::string>();
  to.exhausted = given["exhausted"].cast<std::string>();
  to.devices = given["devices"].cast<int>();
  TORCH_CHECK(to.devices >= 0 && to.devices <= kMostDevices, "at most ", kMostDevices, " devices can be emulated");
  to.memory = given["memory"].cast<size_t>();
  to.strict = given["strict"].cast<bool>();
  to.falls_back = given["falls_back"].cast<bool>();
  to.trace = given["trace"].cast<bool>();
  to.everything = given["everything"].cast<bool>();
  for (const auto& name : given["listed"].cast<Names>()) {
    to.listed.insert(name);
  }
  for (const auto& name : given["synchronising"].cast<Names>()) {
    to.synchronising.insert(name);
  }
  for (const auto& name : given["widened"].cast<Names>()) {
    to.widened.insert(name);
  }
  to.reached_as = given["reached_as"].cast<std::unordered_map<std::string, Names>>();
  to.composites = given["composites"].cast<std::unordered_map<std::string, Names>>();
  to.limits = given["limits"].cast<std::unordered_map<std::string, std::string>>();
  to.instead_of = given["instead_of"].cast<std::unordered_map<std::string, std::string>>();
  to.no_dtype_reason = given["no_dtype_reason"].cast<std::string>();
  for (const auto& dtype : given["no_dtype"]) {
    to.no_dtype.set(static_cast<size_t>(reinterpret_cast<THPDtype*>(dtype.ptr())->scalar_type));
  }
  to.short_double = given["short_double"].cast<bool>();
  for (const auto& name : given["short_long"].cast<Names>()) {
    to.short_long.insert(name);
  }
  lines().root = given["root"].cast<std::string>();
  lines().passed_over = given["passed_over"].cast<Names>();
}

Condition condition(const py::handle& given) {
  Condition made;
  for (const auto& each : given) {
    const auto atom = each.cast<std::tuple<size_t, int, int, std::vector<double>>>();
    made.push_back({std::get<0>(atom), static_cast<Atom::What>(std::get<1>(atom)), static_cast<Atom::Is>(std::get<2>(atom)),
                    std::get<3>(atom)});
  }
  return made;
}

// Of an operator: demands as operator, argument, rule, values, condition, message, whether that is a NotImplementedError; trips as operator, condition, down, up.
void add_facts(const std::string& name, const py::list& demands, const py::list& trips) {
  auto& made = settings().facts[name];
  for (const auto& each : demands) {
    const auto given = each.cast<py::tuple>();
    made.demands.push_back({given[0].cast<std::string>(), given[1].cast<size_t>(), static_cast<Demand::Rule>(given[2].cast<int>()),
                            given[3].cast<std::vector<int64_t>>(), condition(given[4]), given[5].cast<std::string>(),
                            given[6].cast<bool>()});
  }
  for (const auto& each : trips) {
    const auto given = each.cast<py::tuple>();
    made.trips.push_back({given[0].cast<std::string>(), condition(given[1]), given[2].cast<std::vector<size_t>>(),
                          given[3].cast<std::vector<size_t>>()});
  }
}

void start(const Names& whole, const Names& views) {
  static auto* hooks = new Hooks();  // torch asks them to the very end
  at::RegisterPrivateUse1HooksInterface(hooks);
  register_generator<at::PrivateUse1HooksInterface>(0);
  c10::SetAllocator(kDevice, &allocator());
  library("_", kKey).fallback(torch::CppFunction::makeFromBoxedFunction<&boxed>());
  library("_", kAutocast).fallback(torch::CppFunction::makeFallthrough());
  if (!c10::Dispatcher::singleton().hasBackendFallbackForDispatchKey(c10::DispatchKey::AutogradPrivateUse1)) {
    // older versions have none for devices of plugins, and operators of other libraries need it
    library("_", c10::DispatchKey::AutogradPrivateUse1).fallback(torch::CppFunction::makeFallthrough());
  }
  for (auto key : {c10::DispatchKey::Conjugate, c10::DispatchKey::Negative}) {
    // a copy is what resolves them: resolving them first would not end
    library("aten", key).impl("_copy_from", torch::CppFunction::makeFallthrough());
  }
  auto& aten = library("aten", kKey);
  register_kernels(aten);
  for (const auto& name : whole) {
    aten.impl(name.c_str(), torch::CppFunction::makeFromBoxedFunction<&boxed>());
  }
  for (const auto& name : views) {
    aten.impl(name.c_str(), torch::CppFunction::makeFromBoxedFunction<&boxed_view>());
  }
  pthread_atfork(nullptr, nullptr, [] { bad_fork = used.load(); });
}

py::dict usage_of(int index) {
  check_index(index);
  auto& all = memory();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto& usage = all.usage[index];
  py::dict figures;
  figures["allocated"] = usage.allocated;
  figures["peak_allocated"] = usage.peak_allocated;
  figures["reserved"] = usage.reserved;
  figures["peak_reserved"] = usage.peak_reserved;
  figures["allocations"] = usage.allocations;
  figures["frees"] = usage.frees;
  figures["exhaustions"] = usage.exhaustions;
  figures["total"] = settings().memory;
  return figures;
}

void reset_peaks(int index) {
  check_index(index);
  auto& all = memory();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.usage[index].peak_allocated = all.usage[index].allocated;
  all.usage[index].peak_reserved = all.usage[index].reserved;
}

// Everything since the last call: operators as name, count, first line; events as kind, operator, line, count, bytes.
py::tuple drain() {
  static const char* const names[] = {"upload", "download", "synchronisation", "refusal", "fallback", "operator", "inside_down", "inside_up"};
  py::list ran, events;
  for (auto* operation : operators().all()) {
    const auto number = operation->count.exchange(0);
    if (number > 0) {
      ran.append(py::make_tuple(operation->name, number, operation->first));
    }
  }
  for (const auto& [key, tally] : counts().drain()) {
    const auto& [kind, name, line] = key;
    events.append(py::make_tuple(names[static_cast<int>(kind)], name, line, tally.count, tally.bytes));
  }
  return py::make_tuple(ran, events);
}

}  // namespace porter

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  using namespace porter;
  m.def("configure", &configure);
  m.def("add_facts", &add_facts);
  m.def("dtype_number", [](const py::object& dtype) { return static_cast<int>(reinterpret_cast<THPDtype*>(dtype.ptr())->scalar_type); });
  m.def("start", &start);
  m.def("register_autocast", [](const std::string& policy, const Names& names) {
    register_autocast(library("aten", kAutocast), policy, names);
  });
  m.def("usage", &usage_of);
  m.def("reset_peaks", &reset_peaks);
  m.def("empty_cache", &empty_cache);
  m.def("current_device", [] { return static_cast<int>(current_device); });
  m.def("set_device", [](int index) { Guard().setDevice({kDevice, static_cast<c10::DeviceIndex>(index)}); });
  m.def("default_generator", [](int index) {
    check_index(index);
    return default_generator(static_cast<c10::DeviceIndex>(index));
  });
#ifdef PORTER_DISTRIBUTED
  m.def(
      "process_group",
      [](const c10::intrusive_ptr<c10d::Backend>& gloo, const std::string& name, bool guesses)
          -> c10::intrusive_ptr<c10d::Backend> { return c10::make_intrusive<Group>(gloo, name, guesses); },
      py::call_guard<py::gil_scoped_release>());
#endif
  m.def("in_bad_fork", [] { return bad_fork.load(); });
  m.def("is_used", [] { return used.load(); });
  m.def("host_alias", [](const at::Tensor& tensor) { return on_device(tensor) ? host_alias(tensor) : tensor; });
  m.def("synchronise", [](const std::string& name) { counts().add(Kind::kSynchronisation, name); });
  m.def("drain", &drain);
  m.def("autocast_enabled", &autocast_enabled);
  m.def("enable_autocast", &enable_autocast);
  m.def("autocast_dtype", [] { return py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(torch::getTHPDtype(autocast_dtype()))); });
  m.def("set_autocast_dtype", [](const py::object& dtype) { set_autocast_dtype(reinterpret_cast<THPDtype*>(dtype.ptr())->scalar_type); });
}
