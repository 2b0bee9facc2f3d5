// A library that CUDA loads into a program if CUDA_INJECTION64_PATH names it. It writes to the file KERNEL_TIMES one
// line per kernel, copy or fill, separated by tabs: start and end in nanoseconds, launch (kernels of one recorded step
// share one), name. It uses NVIDIA's CUPTI, which slows a step by a few microseconds. kernel_times.py makes a table of
// it.
#include <cstdio>
#include <cstdlib>
#include <cupti.h>
#include <cxxabi.h>
#include <initializer_list>
#include <memory>

namespace {

std::FILE* times = nullptr;

void CUPTIAPI give_buffer(uint8_t** buffer, std::size_t* size, std::size_t* max_records) {
  *size = std::size_t{8} << 20;
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(64, *size));
  *max_records = 0;  // as many as fit
}

void write_line(std::uint64_t start, std::uint64_t end, std::uint32_t launch, const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> plain(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                          &std::free);
  std::fprintf(times, "%llu\t%llu\t%u\t%s\n", static_cast<unsigned long long>(start),
               static_cast<unsigned long long>(end), launch, plain ? plain.get() : name);
}

void CUPTIAPI take_buffer(CUcontext, uint32_t, uint8_t* buffer, std::size_t, std::size_t valid) {
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
      const auto* one = reinterpret_cast<const CUpti_ActivityKernel9*>(record);
      write_line(one->start, one->end, one->correlationId, one->name);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
      const auto* one = reinterpret_cast<const CUpti_ActivityMemcpy5*>(record);
      write_line(one->start, one->end, one->correlationId, "copy");
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
      const auto* one = reinterpret_cast<const CUpti_ActivityMemset4*>(record);
      write_line(one->start, one->end, one->correlationId, "fill");
    }
  }
  std::free(buffer);
}

void finish() {
  cuptiActivityFlushAll(1);
  std::fclose(times);
}

}  // namespace

/// What CUDA calls when it has loaded the library.
extern "C" int InitializeInjection() {
  const char* path = std::getenv("KERNEL_TIMES");
  times = path ? std::fopen(path, "w") : nullptr;
  if (!times) {
    std::fprintf(stderr, "kernel_times: KERNEL_TIMES names no file that can be written\n");
    return 1;
  }
  cuptiActivityRegisterCallbacks(give_buffer, take_buffer);
  for (const CUpti_ActivityKind kind :
       {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET})
    if (const CUptiResult result = cuptiActivityEnable(kind); result != CUPTI_SUCCESS)
      std::fprintf(stderr, "kernel_times: CUPTI does not record activities of kind %d: error %d\n", kind, result);
  std::atexit(finish);
  return 1;
}
