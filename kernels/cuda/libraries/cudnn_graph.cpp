#include "kernels/cuda/libraries/cudnn_graph.h"

#include <algorithm>

namespace vergence::cuda::cudnn {
namespace {

/// cuDNN's record of its last failure on this thread; reading it clears it.
std::string explanation() {
  std::array<char, 2048> text{};
  library().last_error(text.data(), text.size());
  return text.data();
}

cudnnDataType_t data_type(DType type) {
  switch (type) {
    case DType::f64:
      return CUDNN_DATA_DOUBLE;
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    case DType::i32:
      return CUDNN_DATA_INT32;
    case DType::u8:
      return CUDNN_DATA_UINT8;
  }
  throw Error("cuDNN: a type that it does not know");
}

/// Engine settings, in order of cuDNN's predicted speed.
std::vector<Descriptor> ask(const Target& target, const Descriptor& graph) {
  Descriptor question(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  question.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  question.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_HEUR_MODE_A);
  target.apply(question, Target::no_attribute, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
  if (question.finalize() != CUDNN_STATUS_SUCCESS) return {};  // no engine for this graph
  std::vector<Descriptor> answers(static_cast<std::size_t>(question.fill(CUDNN_ATTR_ENGINEHEUR_RESULTS, {})));
  for (Descriptor& answer : answers) answer = Descriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  answers.resize(static_cast<std::size_t>(question.fill(CUDNN_ATTR_ENGINEHEUR_RESULTS, answers)));
  return answers;
}

struct Knob {
  cudnnBackendKnobType_t type;
  std::int64_t value;
};

std::vector<Knob> knobs_of(const Descriptor& settings) {
  std::vector<Descriptor> choices(CUDNN_KNOB_TYPE_COUNTS);
  for (Descriptor& choice : choices) choice = Descriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
  choices.resize(static_cast<std::size_t>(settings.fill(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, choices)));
  std::vector<Knob> knobs;
  for (const Descriptor& choice : choices)
    knobs.push_back({choice.values<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, 1).at(0),
                     choice.values<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, 1).at(0)});
  return knobs;
}

/// The number of parts into which these settings cut the sums, if they state it.
std::int64_t parts_of(const std::vector<Knob>& knobs) {
  for (const Knob& knob : knobs)
    if (knob.type == CUDNN_KNOB_TYPE_SPLIT_K_SLC) return std::max<std::int64_t>(1, knob.value);
  return 1;
}

std::string name_of_offer(const Descriptor& engine, const std::vector<Knob>& knobs) {
  std::string name = join("engine ", engine.values<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 1).at(0));
  for (const Knob& knob : knobs) name += join(" ", static_cast<int>(knob.type), "=", knob.value);
  return name;
}

}  // namespace

void check(cudnnStatus_t status, const std::string& what) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw Error(join("cuDNN: ", what, ": ", library().status_text(status), ": ", explanation()));
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) : object_(std::make_shared<Object>()) {
  check(library().create_descriptor(type, &object_->descriptor), join("descriptor of kind ", type));
}

void Descriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                         const void* values) {
  check(library().set_attribute(get(), name, type, count, values), join("attribute ", name));
}

std::int64_t Descriptor::get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t most,
                                 void* values) const {
  std::int64_t count = 0;
  check(library().get_attribute(get(), name, type, most, &count, values), join("attribute ", name));
  return most > 0 ? std::min(count, most) : count;
}

void Descriptor::refer(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& parts) {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const Descriptor& part : parts) raw.push_back(part.get());
  set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(raw.size()), raw.data());
  object_->parts.insert(object_->parts.end(), parts.begin(), parts.end());
}

std::int64_t Descriptor::fill(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& parts) const {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const Descriptor& part : parts) raw.push_back(part.get());
  return get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(raw.size()), raw.data());
}

Target Target::gpu(Stream stream) {
  Target target;
  cudnnHandle_t handle = nullptr;
  check(library().create(&handle), "a handle for this machine's GPU");
  target.handle_ = {handle, library().destroy};
  check(library().set_stream(handle, stream), "stream");
  return target;
}

Target Target::described(const std::string& json) {
  Target target;
  target.description_ = Descriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  target.description_.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::vector<char>(json.begin(), json.end()));
  check(target.description_.finalize(), "description of a GPU");
  return target;
}

void Target::apply(Descriptor& to, int handle_name, int description_name) const {
  const int name = description_ ? description_name : handle_name;
  if (name == no_attribute) return;
  const auto attribute = static_cast<cudnnBackendAttributeName_t>(name);
  if (description_)
    to.set(attribute, description_);
  else
    to.set(attribute, handle());
}

Tensor Graph::tensor(DType type, const std::array<std::int64_t, 4>& dimensions, Storage storage) {
  const auto [n, c, h, w] = dimensions;
  Tensor tensor{++last_id_, dimensions, Descriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR)};
  Descriptor& d = tensor.descriptor;
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, tensor.id);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, data_type(type));
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::vector<std::int64_t>{n, c, h, w});
  d.set(CUDNN_ATTR_TENSOR_STRIDES, std::vector<std::int64_t>{c * h * w, 1, c * w, c});
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{storage == Storage::host ? size_of(type) : 16});
  if (storage == Storage::inside) d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
  if (storage == Storage::host) d.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  check(d.finalize(), join("tensor ", n, "x", c, "x", h, "x", w, " ", name_of(type)));
  return tensor;
}

Tensor Graph::images(const ConvShape& s, DType type, Storage storage) {
  return tensor(type, {s.batch, s.in_channels, s.in_height, s.in_width}, storage);
}

Tensor Graph::weights(const ConvShape& s, DType type, Storage storage) {
  return tensor(type, {s.out_channels, s.in_channels / s.groups, s.kernel_height, s.kernel_width}, storage);
}

Tensor Graph::results(const ConvShape& s, DType type, Storage storage) {
  return tensor(type, {s.batch, s.out_channels, s.out_height(), s.out_width()}, storage);
}

Tensor Graph::per_channel(const Tensor& like, DType type, Storage storage) {
  return tensor(type, {1, like.dimensions[1], 1, 1}, storage);
}

void Graph::convolution(ConvPass pass, const ConvShape& shape, const Tensor& x, const Tensor& w, const Tensor& y,
                        double beta) {
  Descriptor geometry(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  const auto twice = [](std::int64_t value) { return std::vector<std::int64_t>{value, value}; };
  geometry.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  geometry.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  geometry.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2});
  geometry.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, twice(shape.padding));
  geometry.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, twice(shape.padding));
  geometry.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, twice(shape.stride));
  geometry.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, twice(shape.dilation));
  check(geometry.finalize(), "convolution");

  struct Names {
    cudnnBackendDescriptorType_t operation;
    cudnnBackendAttributeName_t geometry, x, w, y, alpha, beta;
  };
  static constexpr Names forward{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
  static constexpr Names data{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
  static constexpr Names weight{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  const Names& names = pass == ConvPass::forward ? forward : pass == ConvPass::data ? data : weight;
  Descriptor operation(names.operation);
  operation.set(names.geometry, geometry);
  operation.set(names.x, x.descriptor);
  operation.set(names.w, w.descriptor);
  operation.set(names.y, y.descriptor);
  operation.set(names.alpha, 1.0F);  // of the sums' type: cuDNN accepts a double but reads it as a float
  operation.set(names.beta, static_cast<float>(beta));
  add(operation);
}

void Graph::map(cudnnPointwiseMode_t mode, const Tensor& x, const Tensor& y) { map(mode, x, {}, y); }

void Graph::map(cudnnPointwiseMode_t mode, const Tensor& a, const Tensor& b, const Tensor& y) {
  Descriptor function(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  function.set(CUDNN_ATTR_POINTWISE_MODE, mode);
  function.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  check(function.finalize(), "function of values");
  const bool backward = mode >= CUDNN_POINTWISE_RELU_BWD && mode < CUDNN_POINTWISE_CMP_EQ;
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
  operation.set(backward ? CUDNN_ATTR_OPERATION_POINTWISE_DYDESC : CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a.descriptor);
  if (b.descriptor)
    operation.set(backward ? CUDNN_ATTR_OPERATION_POINTWISE_XDESC : CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b.descriptor);
  operation.set(backward ? CUDNN_ATTR_OPERATION_POINTWISE_DXDESC : CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y.descriptor);
  add(operation);
}

void Graph::sum(const Tensor& x, const Tensor& y) {
  Descriptor function(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  function.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_REDUCE_TENSOR_ADD);
  function.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  check(function.finalize(), "sum");
  Descriptor operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, function);
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x.descriptor);
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y.descriptor);
  add(operation);
}

void Graph::add(Descriptor operation) {
  check(operation.finalize(), join("operation ", operations_.size() + 1, " of a graph"));
  operations_.push_back(std::move(operation));
}

std::vector<Offer> offers(const Target& target, const Graph& graph, bool repeatable) {
  Descriptor operations(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  operations.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, graph.operations());
  target.apply(operations, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, Target::no_attribute);
  if (operations.finalize() != CUDNN_STATUS_SUCCESS) return {};
  std::vector<Offer> found;
  for (const Descriptor& setting : ask(target, operations)) {
    const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    setting.fill(CUDNN_ATTR_ENGINECFG_ENGINE, {engine});
    const auto numerics =
        engine.values<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    const auto behavior =
        engine.values<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT);
    const auto has = [](const auto& notes, auto note) { return std::ranges::find(notes, note) != notes.end(); };
    if (has(numerics, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)) continue;
    if (repeatable && has(numerics, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) continue;
    const std::vector<Knob> knobs = knobs_of(setting);
    found.push_back({setting, has(numerics, CUDNN_NUMERICAL_NOTE_TENSOR_CORE),
                     has(behavior, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION), parts_of(knobs),
                     name_of_offer(engine, knobs)});
  }
  std::ranges::stable_partition(found, &Offer::tensor_cores);
  return found;
}

ExecutionPlan::ExecutionPlan(const Target& target, const Offer& offer)
    : plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, offer.settings);
  target.apply(plan_, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  if (const cudnnStatus_t status = plan_.finalize(); status != CUDNN_STATUS_SUCCESS)
    failure_ = join(library().status_text(status), ": ", explanation());
  else
    workspace_ = plan_.values<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1).at(0);
}

void ExecutionPlan::run(const Target& target, const std::vector<std::pair<std::int64_t, const void*>>& tensors,
                        void* workspace) const {
  std::vector<std::int64_t> ids;
  std::vector<void*> data;
  for (const auto& [id, values] : tensors) ids.push_back(id), data.push_back(const_cast<void*>(values));
  Descriptor arguments(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  arguments.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
  arguments.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, data);
  arguments.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  check(arguments.finalize(), "arguments");
  check(library().execute(target.handle(), plan_.get(), arguments.get()), "execution");
}

}  // namespace vergence::cuda::cudnn
