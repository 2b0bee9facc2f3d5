#include "engine/parameters.h"

#include <algorithm>
#include <unordered_set>

#include "engine/graph.h"

namespace vergence {

namespace {

constexpr std::int64_t alignment = 16;  // elements: a cache line of f32, so that vector loads never straddle two

std::int64_t aligned(std::int64_t size) { return (size + alignment - 1) / alignment * alignment; }

void check_list(const std::vector<NamedTensor>& parameters) {
  require(!parameters.empty(), "parameters: the list is empty");
  std::unordered_set<std::string> seen;
  const DType dtype = parameters[0].tensor->dtype;
  for (const NamedTensor& parameter : parameters) {
    require(parameter.tensor && *parameter.tensor, "parameters: '", parameter.name, "' has no tensor");
    require(seen.insert(parameter.name).second, "parameters: '", parameter.name, "' appears twice");
    require(parameter.tensor->dtype == dtype && (dtype == DType::f32 || dtype == DType::f64), "parameters: '",
            parameter.name, "' is ", name_of(parameter.tensor->dtype), "; expected f32 or f64, one type for all");
  }
}

Array part(const Tensor& whole, const Segment& segment) {
  return {static_cast<char*>(whole.data->data()) + segment.offset * size_of(whole.dtype), segment.size, whole.dtype};
}

}  // namespace

FlatLayout FlatLayout::of(const Tensors& tensors) {
  FlatLayout layout;
  for (const Tensor& tensor : tensors) {
    layout.segments.push_back({layout.size, tensor.size(), tensor.shape.rank() > 1});
    layout.size += aligned(tensor.size());
  }
  return layout;
}

ParameterSet::ParameterSet(const std::vector<NamedTensor>& parameters, Role role, DType activations) {
  check_list(parameters);
  Backend& device = parameters[0].tensor->backend();
  Tensors values;
  for (const NamedTensor& parameter : parameters) {
    names_.push_back(parameter.name);
    values.push_back(*parameter.tensor);
  }
  const auto [segments, total] = FlatLayout::of(values);
  segments_ = segments;
  flat_ = zeros(device, {total}, parameters[0].tensor->dtype);
  if (flat_.dtype == DType::f32 && activations == DType::bf16 && device.traits().bf16_weights)
    flat_.rounded = zeros(device, {total}, DType::bf16).data;
  if (role == Role::trainable) gradient_ = zeros_like(flat_);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Tensor& tensor = *parameters[i].tensor;
    const Tensor place = part_of(flat_, segments_[i].offset, tensor.shape);
    assign(place, tensor);
    tensor = role == Role::trainable ? leaf(place) : place;
    tensors_.push_back(tensor);
    if (gradient_) gradient_places_.push_back(part_of(gradient_, segments_[i].offset, tensor.shape));
  }
}

std::size_t ParameterSet::index_of(std::string_view name) const {
  const auto found = std::find(names_.begin(), names_.end(), name);
  require(found != names_.end(), "parameters: there is no '", name, "'");
  return static_cast<std::size_t>(found - names_.begin());
}

std::int64_t ParameterSet::size() const {
  std::int64_t sum = 0;
  for (const Segment& segment : segments_) sum += segment.size;
  return sum;
}

const Tensor& ParameterSet::gather_gradients(const Tensors& gradients) const {
  require(gradient_ && gradients.size() == count(), "gradients: expected ", count(), " for trainable parameters, got ",
          gradients.size());
  gather_gradients(gradients, 0);
  return gradient_;
}

void ParameterSet::gather_gradients(const Tensors& gradients, std::size_t first) const {
  require(gradient_ && first + gradients.size() <= count(), "gradients: expected at most ", count(),
          " for trainable parameters, got ", gradients.size(), " from number ", first, " on");
  std::vector<ConstArray> parts;
  std::vector<Segment> places;
  for (std::size_t i = first; i < first + gradients.size(); ++i) {
    const Tensor& gradient = gradients[i - first];
    require(!gradient || gradient.shape == tensors_[i].shape, "gradients: '", names_[i], "' has shape ",
            tensors_[i].shape, ", its gradient ", gradient.shape);
    if (gradient && gradient.data == gradient_places_[i].data) continue;
    parts.emplace_back(gradient.array());
    places.push_back(segments_[i]);
  }
  if (!parts.empty()) gradient_.backend().gather_segments(parts, places, gradient_.array());
}

const Tensor& ParameterSet::backward(const Tensor& loss) const {
  const GradOptions options{.places = gradient_places_};
  return gather_gradients(grad({loss}, tensors_, options));
}

Tensors ParameterSet::parts_of(const Tensor& whole) const {
  require(whole.shape == flat_.shape, "parameters: the flat buffer has shape ", flat_.shape, ", got ", whole.shape);
  Tensors parts;
  for (std::size_t i = 0; i < count(); ++i) parts.push_back(part_of(whole, segments_[i].offset, tensors_[i].shape));
  return parts;
}

void ema_update(const ParameterSet& target, const ParameterSet& source, const Tensor& keep) {
  require(keep.dtype == DType::f64 && keep.size() == 1, "moving average: expected one f64 to keep, got ",
          name_of(keep.dtype), keep.shape);
  const std::size_t first = source.index_of(target.names().at(0));
  for (std::size_t i = 0; i < target.count(); ++i) {
    const bool there = first + i < source.count();
    require(there && source.names()[first + i] == target.names()[i] &&
                source.tensors()[first + i].shape == target.tensors()[i].shape,
            "moving average: '", target.names()[i], "' ", target.tensors()[i].shape, " has no counterpart: expected ",
            there ? source.names()[first + i] : "nothing more");
  }
  const Tensor& mine = target.flat();
  const Segment run{source.segments()[first].offset, mine.size(), true};
  require(run.offset + run.size <= source.flat().size() && mine.dtype == source.flat().dtype,
          "moving average: the buffers have other types or layouts");
  mine.backend().moving_average(keep.array(), part(source.flat(), run), mine.array(), mine.rounded_array());
}

std::vector<std::byte> to_host(const Tensor& tensor) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.size() * size_of(tensor.dtype)));
  tensor.backend().download(bytes.data(), tensor.data->data(), static_cast<std::int64_t>(bytes.size()));
  return bytes;
}

Tensor host_copy(const Tensor& tensor) {
  Tensor copy = empty(cpu_backend(), tensor.shape, tensor.dtype);
  tensor.backend().download(copy.data->data(), tensor.data->data(), tensor.size() * size_of(tensor.dtype));
  return copy;
}

void from_host(const Tensor& target, const std::vector<std::byte>& bytes) {
  const std::int64_t expected = target.size() * size_of(target.dtype);
  require(static_cast<std::int64_t>(bytes.size()) == expected, "tensor ", target.shape, " needs ", expected,
          " bytes, got ", bytes.size());
  target.backend().upload(target.data->data(), bytes.data(), expected);
  round_copy(target);
}

}  // namespace vergence
