// The losses of fifty f32 steps on the CPU, with which training_test compares a GPU's. They take a minute, so they may
// be computed beforehand, on another machine: tests/gpu/cpu_losses.cpp writes them into a file.
#pragma once

#include <string>
#include <vector>

#include "ssl/bench/step.h"

namespace vergence::test {

constexpr int compared_steps = 50;

/// What is trained: ResNet-18 on 16 pairs of 32 x 32 pixels.
BenchSettings training_settings(const std::string& device, const std::string& objective);

/// The losses of so many steps on one batch, at a rate at which rounding grows slowly.
std::vector<double> training_losses(const BenchSettings& settings);

struct CpuLosses {
  std::string objective;
  std::vector<double> losses;  // with the CPU's own choice of convolutions
  std::vector<double> direct;  // with direct ones: how far rounding alone leads two trainings apart
};

/// Of every objective that is compared.
std::vector<CpuLosses> compute_cpu_losses();

/// JSON: the settings of the steps, and of each objective its learning rate and both rows of losses.
std::string cpu_losses_text(const std::vector<CpuLosses>& all);

/// The losses of a file made from cpu_losses_text. Throws UsageError naming the path where it cannot be read, holds
/// something else, or was written for other steps.
std::vector<CpuLosses> read_cpu_losses(const std::string& path);

}  // namespace vergence::test
