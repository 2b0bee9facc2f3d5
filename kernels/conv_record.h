// Records, for logs, which implementation computed each of the GPU's convolutions; the rule only says which is tried
// first. Plain C++: part of every build.
#pragma once

#include <string>

#include "kernels/backend.h"

namespace vergence {

/// "128x32x32x64 -> 64, 3x3/1+1*1, groups 1, forward, f32". `type`: the activations' type.
std::string text_of_conv(const ConvShape& shape, ConvPass pass, DType type);

/// Records what just computed a convolution; the latest entry for a shape, pass and type counts. Process-wide.
void note_conv(const ConvShape& shape, ConvPass pass, DType type, const char* by);
void forget_convs();

/// How many kinds of convolution (shape, pass and type) each implementation computed: "30 by cuDNN, 2 by own plain
/// kernels". Empty if none was recorded.
std::string convs_in_short();
/// One line for each kind, in order of first use.
std::string convs_in_full();

}  // namespace vergence
