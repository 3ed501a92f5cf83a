// Whether the arguments of a call are such as the vendor's kernel takes. All is prepared: what is not in the facts costs
// a look at an empty list.
#pragma once

#include <ATen/core/ivalue.h>

#include <cmath>
#include <limits>

#include "alias.h"
#include "operators.h"

namespace porter {

// The arguments of one call, wherever they lie.
struct Arguments {
  const c10::IValue* values;
  size_t number;
};

inline bool equal(double one, double other) { return one == other || (std::isnan(one) && std::isnan(other)); }

// Puts what the atom asks of into `found`; false where the argument has no such thing.
inline bool measured(const Atom& atom, const c10::IValue& value, double& found) {
  if (value.isTensor()) {
    const auto& tensor = value.toTensor();
    if (atom.what == Atom::kValue) {  // what can be asked is whether there is one
      found = tensor.defined() ? 0 : std::numeric_limits<double>::quiet_NaN();
      return true;
    }
    if (!tensor.defined()) {
      return false;
    }
    switch (atom.what) {
      case Atom::kDim: found = static_cast<double>(tensor.dim()); return true;
      case Atom::kNumel: found = static_cast<double>(tensor.numel()); return true;
      case Atom::kDtype: found = static_cast<double>(tensor.scalar_type()); return true;
      case Atom::kContiguous: found = tensor.is_contiguous(); return true;
      case Atom::kDevice: found = on_device(tensor); return true;
      default: return false;
    }
  }
  if (atom.what == Atom::kLength) {
    if (value.isNone()) {
      found = 0;
    } else if (value.isList()) {
      found = static_cast<double>(value.toListRef().size());
    } else {
      return false;
    }
    return true;
  }
  if (atom.what == Atom::kDtype && value.isInt()) {
    found = static_cast<double>(value.toInt());
    return true;
  }
  if (atom.what == Atom::kDevice && value.isDevice()) {
    found = value.toDevice().type() == kDevice;
    return true;
  }
  if (atom.what != Atom::kValue) {
    return false;
  }
  if (value.isNone()) {
    found = std::numeric_limits<double>::quiet_NaN();
  } else if (value.isBool()) {
    found = value.toBool();
  } else if (value.isInt()) {
    found = static_cast<double>(value.toInt());
  } else if (value.isDouble()) {
    found = value.toDouble();
  } else {
    return false;
  }
  return true;
}

inline bool holds(const Atom& atom, const Arguments& given) {
  double found = 0;
  if (atom.argument >= given.number || !measured(atom, given.values[atom.argument], found)) {
    return false;
  }
  const double wanted = atom.values.front();
  const auto among = [&] {
    return std::any_of(atom.values.begin(), atom.values.end(), [&](double value) { return equal(found, value); });
  };
  switch (atom.is) {
    case Atom::kEqual: return equal(found, wanted);
    case Atom::kNotEqual: return !equal(found, wanted);
    case Atom::kLess: return found < wanted;
    case Atom::kGreater: return found > wanted;
    case Atom::kAtMost: return found <= wanted;
    case Atom::kAtLeast: return found >= wanted;
    case Atom::kIn: return among();
    case Atom::kNotIn: return !among();
  }
  return false;
}

inline bool holds(const Condition& when, const Arguments& given) {
  for (const auto& atom : when) {
    if (!holds(atom, given)) {
      return false;
    }
  }
  return true;
}

// Whether the dimensions follow one another once they are sorted. None, one and all of them do.
inline bool neighbours(const c10::IValue& value, const Arguments& given) {
  if (!value.isIntList() || !given.values[0].isTensor()) {
    return true;
  }
  const int64_t number = given.values[0].toTensor().dim();
  c10::SmallVector<int64_t, 8> dimensions;
  for (const int64_t dimension : value.toIntList()) {
    dimensions.push_back(dimension < 0 ? dimension + number : dimension);
  }
  std::sort(dimensions.begin(), dimensions.end());
  for (size_t i = 1; i < dimensions.size(); ++i) {
    if (dimensions[i - 1] + 1 != dimensions[i]) {
      return false;
    }
  }
  return true;
}

inline bool tensor_meets(const Demand& demand, const at::Tensor& tensor, const Arguments& given) {
  if (!on_device(tensor)) {
    return true;  // none, or a number on the host, which the kernel takes as one
  }
  switch (demand.rule) {
    case Demand::kIsContiguous: return tensor.is_contiguous();
    case Demand::kDtypes: return (demand.values[0] >> static_cast<int64_t>(tensor.scalar_type()) & 1) != 0;
    case Demand::kDimensions: return tensor.dim() >= demand.values[0] && tensor.dim() <= demand.values[1];
    case Demand::kSameDtype: {
      const auto other = static_cast<size_t>(demand.values[0]);
      return other >= given.number || !given.values[other].isTensor() || !on_device(given.values[other].toTensor()) ||
             given.values[other].toTensor().scalar_type() == tensor.scalar_type();
    }
    default: return true;
  }
}

inline bool meets(const Demand& demand, const Arguments& given) {
  if (demand.rule == Demand::kNever) {
    return false;
  }
  if (demand.argument >= given.number) {
    return true;
  }
  const auto& value = given.values[demand.argument];
  if (demand.rule == Demand::kNeighbours) {
    return neighbours(value, given);
  }
  if (value.isTensor()) {
    return tensor_meets(demand, value.toTensor(), given);
  }
  if (value.isTensorList() || value.isOptionalTensorList()) {
    for (const auto& each : value.toListRef()) {
      if (each.isTensor() && !tensor_meets(demand, each.toTensor(), given)) {
        return false;
      }
    }
  }
  return true;
}

// Counts each demand that is not met; raises the vendor's error for the first.
inline void check_demands(const Operator& operation, const Arguments& given) {
  for (const auto& demand : operation.facts->demands) {
    // what is demanded is nearly always met, and quicker to see than whether it is demanded
    if (!meets(demand, given) && holds(demand.when, given)) {
      counts().add(Kind::kRefusal, demand.operation);
      if (settings().strict && demand.unimplemented) {
        C10_THROW_ERROR(NotImplementedError, std::string(demand.message));
      }
      TORCH_CHECK(!settings().strict, demand.message);
    }
  }
}

// Device memory that a value is, or holds: how many tensors, how many bytes.
inline Tally carried(const c10::IValue& value) {
  Tally sum;
  const auto add = [&](const c10::IValue& each) {
    if (each.isTensor() && on_device(each.toTensor())) {
      ++sum.count;
      sum.bytes += each.toTensor().numel() * static_cast<int64_t>(each.toTensor().element_size());
    }
  };
  if (value.isList()) {
    for (const auto& each : value.toListRef()) {
      add(each);
    }
  } else {
    add(value);
  }
  return sum;
}

inline void count_carried(Kind kind, const std::string& name, const c10::IValue* values, size_t number, const std::vector<size_t>& which) {
  Tally sum;
  for (const size_t each : which) {
    if (each < number) {
      const auto one = carried(values[each]);
      sum.count += one.count;
      sum.bytes += one.bytes;
    }
  }
  if (sum.count > 0) {
    counts().add(kind, name, sum.bytes, sum.count);
  }
}

// The trips through the host that the vendor's kernel makes for these arguments; their way down is counted here.
inline c10::SmallVector<const Trip*, 2> set_out(const Operator& operation, const Arguments& given) {
  c10::SmallVector<const Trip*, 2> made;
  for (const auto& trip : operation.facts->trips) {
    if (holds(trip.when, given)) {
      count_carried(Kind::kInsideDown, trip.operation, given.values, given.number, trip.down);
      made.push_back(&trip);
    }
  }
  return made;
}

inline void come_back(const c10::SmallVector<const Trip*, 2>& made, const c10::IValue* results, size_t number) {
  for (const auto* trip : made) {
    count_carried(Kind::kInsideUp, trip->operation, results, number, trip->up);
  }
}

}  // namespace porter
