#include "engine/tensor.h"

#include <ostream>

namespace vergence {

Shape::Shape(std::initializer_list<std::int64_t> extents) : Shape(std::vector<std::int64_t>(extents)) {}

Shape::Shape(const std::vector<std::int64_t>& extents) {
  require(extents.size() <= extents_.size(), "shape: at most 4 axes, got ", extents.size());
  for (std::int64_t extent : extents) {
    require(extent >= 0, "shape: an extent is negative: ", extent);
    extents_[static_cast<std::size_t>(rank_++)] = extent;
  }
}

std::int64_t Shape::size() const {
  std::int64_t product = 1;
  for (int axis = 0; axis < rank_; ++axis) product *= extents_[static_cast<std::size_t>(axis)];
  return product;
}

std::int64_t Shape::operator[](int axis) const {
  const int at = axis < 0 ? axis + rank_ : axis;
  require(at >= 0 && at < rank_, "shape ", *this, " has no axis ", axis);
  return extents_[static_cast<std::size_t>(at)];
}

Shape Shape::with(int axis, std::int64_t extent) const {
  const int at = axis < 0 ? axis + rank_ : axis;
  require(at >= 0 && at < rank_, "shape ", *this, " has no axis ", axis);
  Shape other = *this;
  other.extents_[static_cast<std::size_t>(at)] = extent;
  return other;
}

std::string Shape::text() const {
  std::string text = "[";
  for (int axis = 0; axis < rank_; ++axis) text += (axis ? ", " : "") + std::to_string((*this)[axis]);
  return text + "]";
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.text(); }

Storage::Storage(Backend& backend, std::int64_t bytes)
    : backend_(&backend), data_(backend.allocate(std::max<std::int64_t>(bytes, 1))), bytes_(bytes) {}

Storage::Storage(std::shared_ptr<Storage> whole, std::int64_t offset, std::int64_t bytes)
    : backend_(&whole->backend()),
      data_(static_cast<char*>(whole->data()) + offset),
      bytes_(bytes),
      whole_(std::move(whole)) {
  require(offset >= 0 && offset + bytes <= whole_->bytes(), "storage: bytes ", offset, " to ", offset + bytes,
          " are not inside a block of ", whole_->bytes());
}

Storage::~Storage() {
  if (!whole_) backend_->release(data_, std::max<std::int64_t>(bytes_, 1));
}

Backend& Tensor::backend() const {
  require(data != nullptr, "tensor: none has no device");
  return data->backend();
}

Array Tensor::array() const {
  if (!data) return {};
  return {data->data(), size(), dtype};
}

Array Tensor::rounded_array() const { return {rounded ? rounded->data() : nullptr, size(), DType::bf16}; }

ConstArray Tensor::weights_for(DType activations) const {
  return rounded && activations == DType::bf16 ? rounded_array() : array();
}

Tensor Tensor::detached() const {
  Tensor other = *this;
  other.node = nullptr;
  other.slot = 0;
  return other;
}

const std::shared_ptr<Storage>& Recomputation::value() {
  if (!value_) value_ = first_.lock();
  if (!value_) value_ = compute_();
  compute_ = nullptr;  // its inputs can now be released
  return value_;
}

Tensor Tensor::released() const {
  Tensor other = *this;
  if (again) other.data = nullptr;
  return other;
}

Tensor Tensor::restored() const {
  Tensor other = *this;
  if (again && !data) other.data = again->value();
  return other;
}

double Tensor::item() const {
  require(size() == 1, "item: expected one element, got shape ", shape);
  return values()[0];
}

namespace {

template <class Out>
std::vector<Out> download_as(const Tensor& tensor) {
  std::vector<Out> out(static_cast<std::size_t>(tensor.size()));
  with_any(tensor.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, Out>) {
      tensor.backend().download(out.data(), tensor.data->data(), tensor.size() * size_of(tensor.dtype));
    } else {
      std::vector<T> raw(out.size());
      tensor.backend().download(raw.data(), tensor.data->data(), tensor.size() * size_of(tensor.dtype));
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Out>(raw[i]);
    }
  });
  return out;
}

template <class In>
Tensor upload_as(Backend& backend, const Shape& shape, const std::vector<In>& values, DType dtype) {
  require(static_cast<std::int64_t>(values.size()) == shape.size(), "tensor: shape ", shape, " needs ", shape.size(),
          " values, got ", values.size());
  Tensor tensor = empty(backend, shape, dtype);
  with_any(dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, In>) {
      backend.upload(tensor.data->data(), values.data(), tensor.size() * size_of(dtype));
    } else {
      std::vector<T> raw(values.size());
      for (std::size_t i = 0; i < raw.size(); ++i) {
        if constexpr (std::is_same_v<T, bf16>)
          raw[i] = bf16(static_cast<float>(values[i]));
        else
          raw[i] = static_cast<T>(values[i]);
      }
      backend.upload(tensor.data->data(), raw.data(), tensor.size() * size_of(dtype));
    }
  });
  return tensor;
}

}  // namespace

std::vector<double> Tensor::values() const { return download_as<double>(*this); }
std::vector<float> Tensor::floats() const { return download_as<float>(*this); }

Tensor empty(Backend& backend, const Shape& shape, DType dtype) {
  Tensor tensor;
  tensor.data = std::make_shared<Storage>(backend, shape.size() * size_of(dtype));
  tensor.shape = shape, tensor.dtype = dtype;
  return tensor;
}

Tensor full(Backend& backend, const Shape& shape, double value, DType dtype) {
  Tensor tensor = empty(backend, shape, dtype);
  backend.fill(tensor.array(), value);
  return tensor;
}

Tensor zeros(Backend& backend, const Shape& shape, DType dtype) { return full(backend, shape, 0, dtype); }
Tensor empty_like(const Tensor& like) { return empty(like.backend(), like.shape, like.dtype); }
Tensor zeros_like(const Tensor& like) { return zeros(like.backend(), like.shape, like.dtype); }

Tensor empty_in(const Tensor& place, Backend& backend, const Shape& shape, DType dtype) {
  const bool fits = place && place.shape == shape && place.dtype == dtype && &place.backend() == &backend;
  return fits ? place.detached() : empty(backend, shape, dtype);
}

Tensor from_values(Backend& backend, const Shape& shape, const std::vector<double>& values, DType dtype) {
  return upload_as(backend, shape, values, dtype);
}

Tensor from_floats(Backend& backend, const Shape& shape, const std::vector<float>& values) {
  return upload_as(backend, shape, values, DType::f32);
}

Tensor from_indices(Backend& backend, const std::vector<std::int32_t>& values) {
  return upload_as(backend, Shape{static_cast<std::int64_t>(values.size())}, values, DType::i32);
}

Tensor from_bytes(Backend& backend, const Shape& shape, const std::uint8_t* values) {
  Tensor tensor = empty(backend, shape, DType::u8);
  backend.upload(tensor.data->data(), values, tensor.size());
  return tensor;
}

Tensor part_of(const Tensor& whole, std::int64_t offset, const Shape& shape) {
  const std::int64_t width = size_of(whole.dtype);
  auto storage = std::make_shared<Storage>(whole.data, offset * width, shape.size() * width);
  Tensor part;
  part.data = std::move(storage), part.shape = shape, part.dtype = whole.dtype;
  if (whole.rounded) {
    const std::int64_t bytes = size_of(DType::bf16);
    part.rounded = std::make_shared<Storage>(whole.rounded, offset * bytes, shape.size() * bytes);
  }
  return part;
}

Tensor clone(const Tensor& tensor) {
  Tensor copy = empty_like(tensor);
  assign(copy, tensor);
  return copy;
}

void assign(const Tensor& target, const Tensor& source) {
  require(target.shape == source.shape && target.dtype == source.dtype, "assign: ", name_of(target.dtype), target.shape,
          " cannot take ", name_of(source.dtype), source.shape);
  target.backend().map(Map::copy, 1, target.size(), {source.array()}, {}, 1, 0, target.array());
  round_copy(target);
}

void round_copy(const Tensor& tensor) {
  if (tensor.rounded)
    tensor.backend().map(Map::copy, 1, tensor.size(), {tensor.array()}, {}, 1, 0, tensor.rounded_array());
}

}  // namespace vergence
