// What the emulated device is: filled once, by Python, from a profile, before the first tensor is on the device.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/DeviceType.h>
#include <c10/core/DispatchKeySet.h>

#include <bitset>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "facts.h"

namespace porter {

constexpr c10::DeviceType kDevice = c10::DeviceType::PrivateUse1;
constexpr c10::DispatchKey kKey = c10::DispatchKey::PrivateUse1;

using Names = std::vector<std::string>;

struct Settings {
  std::string type = "privateuseone";  // as in torch.device
  std::string label = "PRIVATEUSEONE"; // as the vendor spells it in messages
  std::string profile;                 // "EMULATED MLU370"
  std::string refusal;                 // the vendor's message, {operator} and {type} in it
  std::string exhausted;               // the vendor's out-of-memory message, {size}, {index}, {total} and {free} in it
  int devices = 2;
  size_t memory = size_t{1} << 33;
  bool strict = true;
  bool falls_back = false;  // an operator without a kernel runs on the host
  bool trace = false;       // look up the Python line of every operator, not of its first use only
  std::unordered_set<std::string> listed;                  // operators with a kernel of the vendor's
  bool everything = false;                                 // there is no list: nothing counts as missing
  std::unordered_map<std::string, Names> reached_as;       // what stands in the list for what torch calls here
  std::unordered_map<std::string, Names> composites;       // run whole, counted as what torch makes of them
  std::unordered_map<std::string, std::string> limits;     // listed, and yet not usable: operator to reason
  std::bitset<64> no_dtype;                                // by ScalarType: what no kernel computes with
  std::string no_dtype_reason;
  bool short_double = false;                               // float64 is float32 on the device
  std::unordered_set<std::string> short_long;              // operators that compute int64 as int32, without overloads
  std::unordered_set<std::string> synchronising;           // operators whose result's size or value the host waits for
  std::unordered_set<std::string> widened;                 // computed in float32, rounded at the end
  FactsByName facts;                                       // by operator: what its kernel demands and does
  std::unordered_map<std::string, std::string> instead_of; // computed by another operator than their own
};

inline Settings& settings() {
  static auto* made = new Settings();  // never destroyed: tensors may outlive every static
  return *made;
}

}  // namespace porter
