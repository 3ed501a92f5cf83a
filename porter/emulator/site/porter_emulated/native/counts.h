// What ran, and which Python line made it run.
#pragma once

#include <Python.h>
#include <pybind11/pybind11.h>

#include <map>
#include <tuple>

#include "settings.h"

namespace porter {

namespace py = pybind11;

enum class Kind { kUpload, kDownload, kSynchronisation, kRefusal, kFallback, kOperator, kInsideDown, kInsideUp };

struct Tally {
  int64_t count = 0;
  int64_t bytes = 0;
};

// Finds the line of Python that is running. Frames of torch and of the emulation are passed over; a frame below
// `root` wins over any other. What is known of a code object is kept, and the code object with it.
class Lines {
 public:
  std::string root;
  Names passed_over;

  std::string now() {
    if (!Py_IsInitialized()) {
      return "?";
    }
    py::gil_scoped_acquire gil;
    py::object frame = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(PyEval_GetFrame()));
    if (!frame) {
      return "backward";  // a thread of the autograd engine runs no Python
    }
    std::string outside;
    for (; frame && !frame.is_none(); frame = frame.attr("f_back")) {
      const auto& code = known(frame.attr("f_code"));
      if (code.kind == Code::kInRoot || (code.kind == Code::kOutside && outside.empty())) {
        auto line = code.file + ":" + std::to_string(frame.attr("f_lineno").cast<int>());
        if (code.kind == Code::kInRoot || root.empty()) {
          return line;
        }
        outside = std::move(line);
      }
    }
    return outside.empty() ? "?" : outside;
  }

 private:
  struct Code {
    enum { kPassedOver, kOutside, kInRoot } kind;
    std::string file;
  };
  std::unordered_map<PyObject*, Code> codes_;  // the GIL guards it

  const Code& known(py::object code) {
    auto found = codes_.find(code.ptr());
    if (found == codes_.end()) {
      auto file = code.attr("co_filename").cast<std::string>();
      Code made{Code::kOutside, file};
      if (!root.empty() && file.compare(0, root.size(), root) == 0) {
        made = {Code::kInRoot, file.substr(root.size())};
      } else if (file.empty() || file[0] == '<') {
        made.kind = Code::kPassedOver;
      }
      for (const auto& folder : passed_over) {
        if (made.kind == Code::kOutside && file.compare(0, folder.size(), folder) == 0) {
          made.kind = Code::kPassedOver;
        }
      }
      found = codes_.emplace(code.release().ptr(), std::move(made)).first;
    }
    return found->second;
  }
};

inline Lines& lines() {
  static auto* made = new Lines();
  return *made;
}

class Counts {
 public:
  using Key = std::tuple<Kind, std::string, std::string>;  // what, operator, line

  void add(Kind kind, const std::string& name, int64_t bytes = 0, int64_t number = 1) {
    // the line first: finding it takes the GIL, which must not be waited for under the mutex
    auto line = lines().now();
    std::lock_guard<std::mutex> lock(mutex_);
    auto& tally = events_[{kind, name, std::move(line)}];
    tally.count += number;
    tally.bytes += bytes;
  }

  std::map<Key, Tally> drain() {
    std::map<Key, Tally> taken;
    std::lock_guard<std::mutex> lock(mutex_);
    taken.swap(events_);
    return taken;
  }

 private:
  std::mutex mutex_;
  std::map<Key, Tally> events_;
};

inline Counts& counts() {
  static auto* made = new Counts();
  return *made;
}

}  // namespace porter
