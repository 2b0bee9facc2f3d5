// The losses of fifty f32 steps on the CPU, which training_test compares with a GPU's. They take a minute, so another
// machine may compute them beforehand: tests/gpu/cpu_losses.cpp writes them into a file.
#pragma once

#include <string>
#include <vector>

#include "ssl/bench/step.h"

namespace vergence::test {

constexpr int compared_steps = 50;

/// The training: ResNet-18 on 16 pairs of 32 x 32 pixels.
BenchSettings training_settings(const std::string& device, const std::string& objective);

/// The losses of the settings' steps on one batch, with a learning rate at which rounding grows slowly.
std::vector<double> training_losses(const BenchSettings& settings);

struct CpuLosses {
  std::string objective;
  std::vector<double> losses;  // with the convolutions that the CPU chooses
  std::vector<double> direct;  // with direct ones: shows how far rounding alone separates two trainings
};

/// The losses of every compared objective.
std::vector<CpuLosses> compute_cpu_losses();

/// JSON: the steps' settings, and for each objective its learning rate and both lists of losses.
std::string cpu_losses_text(const std::vector<CpuLosses>& all);

/// Reads a file made from cpu_losses_text. Throws UsageError naming the path if it cannot be read, has other contents,
/// or was written for other steps.
std::vector<CpuLosses> read_cpu_losses(const std::string& path);

}  // namespace vergence::test
