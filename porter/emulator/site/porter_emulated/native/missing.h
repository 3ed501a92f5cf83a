// Operators that the host has no kernel for, in some versions of torch or in all: what SyncBatchNorm is made of, and
// what gradient scalers are made of. They are registered under a name of their own, so that the host's torch stays
// what it is.
#pragma once

#include <torch/library.h>

#include "settings.h"

namespace porter {

using Optional = c10::optional<at::Tensor>;

// A statistic of one value a channel, so shaped that it goes with the input.
inline at::Tensor by_channel(const at::Tensor& statistic, const at::Tensor& input) {
  std::vector<int64_t> shape(input.dim(), 1);
  shape[1] = input.size(1);
  return statistic.view(shape);
}

inline std::vector<int64_t> all_but_channels(const at::Tensor& input) {
  std::vector<int64_t> dimensions{0};
  for (int64_t i = 2; i < input.dim(); ++i) {
    dimensions.push_back(i);
  }
  return dimensions;
}

inline std::tuple<at::Tensor, at::Tensor> batch_norm_stats(const at::Tensor& input, double eps) {
  const auto values = input.to(at::kFloat);
  const auto dimensions = all_but_channels(values);
  const auto mean = values.mean(dimensions);
  const auto variance = (values - by_channel(mean, values)).square_().mean(dimensions);
  return {mean, (variance + eps).rsqrt_()};
}

inline std::tuple<at::Tensor, at::Tensor> batch_norm_gather_stats_with_counts(
    const at::Tensor& /*input*/, const at::Tensor& means, const at::Tensor& invstds, const Optional& running_mean,
    const Optional& running_var, double momentum, double eps, const at::Tensor& counts) {
  // in float64: processes that hold the same statistics in whatever order come to the same result
  const auto weights = counts.to(at::kDouble).view({-1, 1});
  const auto total = weights.sum();
  const auto each = means.to(at::kDouble);
  const auto mean = (each * weights).sum(0) / total;
  const auto variances = invstds.to(at::kDouble).pow(-2) - eps;
  const auto squares = (weights * (variances + (each - mean).square())).sum(0);
  if (running_mean.has_value() && running_mean->defined()) {
    running_mean->mul_(1 - momentum).add_(mean.to(running_mean->scalar_type()), momentum);
  }
  if (running_var.has_value() && running_var->defined()) {
    running_var->mul_(1 - momentum).add_((squares / (total - 1)).to(running_var->scalar_type()), momentum);
  }
  return {mean.to(means.scalar_type()), (squares / total + eps).rsqrt().to(means.scalar_type())};
}

inline std::tuple<at::Tensor, at::Tensor> batch_norm_gather_stats(const at::Tensor& input, const at::Tensor& means,
                                                                  const at::Tensor& invstds, const Optional& running_mean,
                                                                  const Optional& running_var, double momentum, double eps,
                                                                  int64_t count) {
  const auto counts = at::full({means.size(0)}, count, means.options());
  return porter::batch_norm_gather_stats_with_counts(input, means, invstds, running_mean, running_var, momentum, eps, counts);
}

inline at::Tensor batch_norm_elemt(const at::Tensor& input, const Optional& weight, const Optional& bias, const at::Tensor& mean,
                                   const at::Tensor& invstd, double /*eps*/) {
  auto result = (input - by_channel(mean, input)) * by_channel(invstd, input);
  if (weight.has_value() && weight->defined()) {
    result = result * by_channel(*weight, input);
  }
  if (bias.has_value() && bias->defined()) {
    result = result + by_channel(*bias, input);
  }
  return result.to(input.scalar_type());
}

inline std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> batch_norm_backward_reduce(
    const at::Tensor& grad, const at::Tensor& input, const at::Tensor& mean, const at::Tensor& invstd, const Optional& /*weight*/,
    bool input_needed, bool weight_needed, bool bias_needed) {
  const auto dimensions = all_but_channels(input);
  const auto of_grad = grad.to(at::kFloat);
  const auto sum = of_grad.sum(dimensions);
  const auto product = (of_grad * (input.to(at::kFloat) - by_channel(mean, input))).sum(dimensions);
  return {input_needed ? sum : at::Tensor(), input_needed ? product : at::Tensor(), weight_needed ? product * invstd : at::Tensor(),
          bias_needed ? sum.clone() : at::Tensor()};
}

inline at::Tensor batch_norm_backward_elemt(const at::Tensor& grad, const at::Tensor& input, const at::Tensor& mean,
                                            const at::Tensor& invstd, const Optional& weight, const at::Tensor& sum,
                                            const at::Tensor& product, const at::Tensor& counts) {
  const auto total = counts.sum().to(at::kFloat);
  auto factor = invstd;
  if (weight.has_value() && weight->defined()) {
    factor = factor * weight->to(at::kFloat);
  }
  const auto centred = input.to(at::kFloat) - by_channel(mean, input);
  const auto slope = by_channel(invstd * invstd * product / total, input);
  const auto result = (grad.to(at::kFloat) - by_channel(sum / total, input) - centred * slope) * by_channel(factor, input);
  return result.to(input.scalar_type());
}

inline void unscale(at::TensorList gradients, at::Tensor& found_inf, const at::Tensor& inverse_scale) {
  for (const auto& gradient : gradients) {
    if (!at::isfinite(gradient).all().item<bool>()) {
      found_inf.fill_(1);
    }
    const_cast<at::Tensor&>(gradient).copy_(gradient.to(at::kFloat) * inverse_scale);
  }
}

inline at::Tensor& update_scale(at::Tensor& scale, at::Tensor& growth_tracker, const at::Tensor& found_inf, double growth,
                                double backoff, int64_t interval) {
  if (found_inf.item<float>() != 0) {
    scale.mul_(backoff);
    growth_tracker.zero_();
    return scale;
  }
  if (growth_tracker.item<int>() + 1 < interval) {
    growth_tracker.add_(1);
    return scale;
  }
  const auto grown = scale * growth;
  if (at::isfinite(grown).item<bool>()) {
    scale.copy_(grown);
  }
  growth_tracker.zero_();
  return scale;
}

TORCH_LIBRARY(porter_emulated, m) {
  m.def("batch_norm_stats(Tensor input, float eps) -> (Tensor, Tensor)", batch_norm_stats);
  m.def(
      "batch_norm_gather_stats_with_counts(Tensor input, Tensor mean, Tensor invstd, Tensor(a!)? running_mean, "
      "Tensor(b!)? running_var, float momentum, float eps, Tensor counts) -> (Tensor, Tensor)",
      batch_norm_gather_stats_with_counts);
  m.def(
      "batch_norm_gather_stats(Tensor input, Tensor mean, Tensor invstd, Tensor(a!)? running_mean, "
      "Tensor(b!)? running_var, float momentum, float eps, int count) -> (Tensor, Tensor)",
      batch_norm_gather_stats);
  m.def("batch_norm_elemt(Tensor input, Tensor? weight, Tensor? bias, Tensor mean, Tensor invstd, float eps) -> Tensor",
        batch_norm_elemt);
  m.def(
      "batch_norm_backward_reduce(Tensor grad_out, Tensor input, Tensor mean, Tensor invstd, Tensor? weight, bool input_g, "
      "bool weight_g, bool bias_g) -> (Tensor, Tensor, Tensor, Tensor)",
      batch_norm_backward_reduce);
  m.def(
      "batch_norm_backward_elemt(Tensor grad_out, Tensor input, Tensor mean, Tensor invstd, Tensor? weight, Tensor sum_dy, "
      "Tensor sum_dy_xmu, Tensor count) -> Tensor",
      batch_norm_backward_elemt);
  m.def("_amp_foreach_non_finite_check_and_unscale_(Tensor(a!)[] self, Tensor(b!) found_inf, Tensor inv_scale) -> ()", unscale);
  m.def(
      "_amp_update_scale_(Tensor(a!) self, Tensor(b!) growth_tracker, Tensor found_inf, float scale_growth_factor, "
      "float scale_backoff_factor, int growth_interval) -> Tensor(a!)",
      update_scale);
}

}  // namespace porter
