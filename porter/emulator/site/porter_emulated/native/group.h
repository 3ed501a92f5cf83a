// The vendor's process group: gloo, on the host's view of device memory, so that nothing is copied that the card's own
// group would not copy. Each collective is done when the call returns.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "alias.h"

namespace porter {

struct Done final : c10d::Work {
  c10::intrusive_ptr<c10::ivalue::Future> future;

  explicit Done(const std::vector<at::Tensor>& tensors)
      : future(c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()))) {
    future->markCompleted(c10::IValue(tensors));
  }
  bool isCompleted() override { return true; }
  bool isSuccess() const override { return true; }
  bool wait(std::chrono::milliseconds) override { return true; }
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override { return future; }
};

class Group final : public c10d::Backend {
 public:
  using Tensors = std::vector<at::Tensor>;
  using Lists = std::vector<Tensors>;
  using Working = c10::intrusive_ptr<c10d::Work>;

  Group(c10::intrusive_ptr<c10d::Backend> gloo, std::string name, bool guesses)
      : Backend(gloo->getRank(), gloo->getSize()), gloo_(std::move(gloo)), name_(std::move(name)), guesses_(guesses) {}

  const std::string getBackendName() const override { return name_; }

  Working broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override {
    auto on_host = views(tensors);
    return done(gloo_->broadcast(on_host, options), tensors);
  }

  Working allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override {
    auto on_host = views(tensors);
    return done(gloo_->allreduce(on_host, options), tensors);
  }

  Working allreduce_coalesced(Tensors& tensors, const c10d::AllreduceCoalescedOptions& options) override {
    for (auto& tensor : tensors) {
      Tensors one{view(tensor)};
      gloo_->allreduce(one, options)->wait();
    }
    return c10::make_intrusive<Done>(tensors);
  }

  Working reduce(Tensors& tensors, const c10d::ReduceOptions& options) override {
    auto on_host = views(tensors);
    return done(gloo_->reduce(on_host, options), tensors);
  }

  Working allgather(Lists& outputs, Tensors& inputs, const c10d::AllgatherOptions& options) override {
    auto into = views(outputs);
    auto from = views(inputs);
    return done(gloo_->allgather(into, from, options), outputs.front());
  }

  Working _allgather_base(at::Tensor& output, at::Tensor& input, const c10d::AllgatherOptions& options) override {
    Lists into{view(output).view({getSize(), -1}).unbind(0)};
    Tensors from{view(input).contiguous().view({-1})};
    return done(gloo_->allgather(into, from, options), {output});
  }

  Working allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs, const c10d::AllgatherOptions& options) override {
    for (size_t i = 0; i < outputs.size(); ++i) {
      _allgather_base(outputs[i], inputs[i], options);
    }
    return c10::make_intrusive<Done>(outputs);
  }

  Working gather(Lists& outputs, Tensors& inputs, const c10d::GatherOptions& options) override {
    auto into = views(outputs);
    auto from = views(inputs);
    return done(gloo_->gather(into, from, options), outputs.empty() ? inputs : outputs.front());
  }

  Working scatter(Tensors& outputs, Lists& inputs, const c10d::ScatterOptions& options) override {
    auto into = views(outputs);
    auto from = views(inputs);
    return done(gloo_->scatter(into, from, options), outputs);
  }

  Working send(Tensors& tensors, int to, int tag) override {
    auto on_host = views(tensors);
    return done(gloo_->send(on_host, to, tag), tensors);
  }

  Working recv(Tensors& tensors, int from, int tag) override {
    auto on_host = views(tensors);
    return done(gloo_->recv(on_host, from, tag), tensors);
  }

  Working barrier(const c10d::BarrierOptions& options) override {
    if (guesses_ && !used_ && options.device_ids.empty()) {
      // No collective told which device is this process's: the card of the rank's number is used, and kept in use
      const auto index = static_cast<c10::DeviceIndex>(getRank() % settings().devices);
      kept_ = at::zeros({1}, at::TensorOptions().device(at::Device(at::kPrivateUse1, index)));
      used_ = true;
    }
    auto host_options = options;
    host_options.device_ids.clear();
    return done(gloo_->barrier(host_options), {});
  }

 private:
  c10::intrusive_ptr<c10d::Backend> gloo_;
  std::string name_;
  bool guesses_;
  mutable bool used_ = false;
  at::Tensor kept_;

  at::Tensor view(const at::Tensor& tensor) const {
    used_ = true;
    TORCH_CHECK(on_device(tensor), name_, " takes tensors of ", settings().type, " only, this one is on ", tensor.device());
    return host_alias(tensor);
  }

  Tensors views(const Tensors& tensors) const {
    Tensors made;
    for (const auto& tensor : tensors) {
      made.push_back(view(tensor));
    }
    return made;
  }

  Lists views(const Lists& lists) const {
    Lists made;
    for (const auto& tensors : lists) {
      made.push_back(views(tensors));
    }
    return made;
  }

  static Working done(const Working& work, const Tensors& tensors) {
    work->wait();
    return c10::make_intrusive<Done>(tensors);
  }
};

}  // namespace porter
