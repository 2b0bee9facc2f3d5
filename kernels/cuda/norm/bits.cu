// The ReLU's mask from the values of the output, for calls that have no bits yet: bit i % 8 of byte i / 8 is y[i] > 0.
// Bytes: the values once, 1/8 byte per element. Bound by memory.
#include "kernels/cuda/loops.h"
#include "kernels/cuda/norm/bits.h"

namespace vergence::VERGENCE_GPU {
namespace {

template <class T>
__global__ void relu_bits(std::int64_t size, std::int64_t packs, const T* y, std::uint8_t* bits) {
  for (std::int64_t i = grid_thread(); i < ceil_div(size, 8); i += grid_threads()) {
    unsigned byte = 0;
    if (i < packs) {
      const Pack<T, 8> values = load_pack<8>(y + i * 8);
      for (int k = 0; k < 8; ++k) byte |= bit(static_cast<Compute<T>>(values.values[k]) > 0, k);
    } else {
      for (int k = 0; k < 8 && i * 8 + k < size; ++k) byte |= bit(static_cast<Compute<T>>(y[i * 8 + k]) > 0, k);
    }
    bits[i] = static_cast<std::uint8_t>(byte);
  }
}

}  // namespace

template <class T>
void store_relu_bits(Device& device, std::int64_t size, const T* y, std::uint8_t* bits) {
  if (size == 0) return;
  launch("relu_bits", relu_bits<T>, blocks_for(size, 256 * 8), 256, device.stream(), size,
         aligned_to<16>(y) ? size / 8 : 0, y, bits);
}

template void store_relu_bits(Device&, std::int64_t, const double*, std::uint8_t*);
template void store_relu_bits(Device&, std::int64_t, const float*, std::uint8_t*);
template void store_relu_bits(Device&, std::int64_t, const bf16*, std::uint8_t*);

PositiveBits::PositiveBits(Device& device, const NormShape& shape, ConstArray y)
    : packed_(device, shape.relu && y.dtype != DType::u8 ? ceil_div(y.size, 8) : 0) {
  if (!shape.relu) return;
  if (y.dtype == DType::u8) {
    bits_ = y.as<std::uint8_t>();
    return;
  }
  with_float(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    store_relu_bits(device, y.size, y.as<T>(), packed_.data());
  });
  bits_ = packed_.data();
}

}  // namespace vergence::VERGENCE_GPU
