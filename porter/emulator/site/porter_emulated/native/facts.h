// What the vendor's kernels demand of their arguments, and where they go through the host: given by Python, once.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace porter {

// A condition of the vendor's C++ on one argument: `what` of it `is` one of `values`. No value is NaN.
struct Atom {
  enum What { kDim, kNumel, kLength, kDtype, kContiguous, kDevice, kValue };
  enum Is { kEqual, kNotEqual, kLess, kGreater, kAtMost, kAtLeast, kIn, kNotIn };
  size_t argument;
  What what;
  Is is;
  std::vector<double> values;
};

using Condition = std::vector<Atom>;  // all of them have to hold

struct Demand {
  enum Rule { kIsContiguous, kDtypes, kDimensions, kNeighbours, kSameDtype, kNever };
  std::string operation;        // whose kernel demands it; of a composite, the part's
  size_t argument;
  Rule rule;
  std::vector<int64_t> values;  // a mask of dtypes; least and most; the other argument
  Condition when;
  std::string message;          // what the vendor's would say
  bool unimplemented = false;   // raised as NotImplementedError, else as RuntimeError
};

struct Trip {
  std::string operation;
  Condition when;
  std::vector<size_t> down, up;  // arguments and results
};

struct Facts {
  std::vector<Demand> demands;
  std::vector<Trip> trips;
};

using FactsByName = std::unordered_map<std::string, Facts>;

}  // namespace porter
