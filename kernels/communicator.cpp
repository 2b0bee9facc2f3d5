// What all communicators check, and the one of a single rank.
#include "kernels/communicator.h"

namespace vergence {

namespace {

class SingleCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int ranks() const override { return 1; }

 private:
  void do_all_gather(Backend& backend, ConstArray x, Array out) override { copy(backend, x, out); }
  void do_all_reduce(Backend& backend, ConstArray x, Array out) override { copy(backend, x, out); }
  void do_broadcast(Backend&, Array, int) override {}

  static void copy(Backend& backend, ConstArray x, Array out) {
    if (out.data != x.data) backend.copy_block(1, x.size, x, x.size, 0, out, x.size, 0);
  }
};

}  // namespace

template <class Call>
void Communicator::run(const char* name, ConstArray x, const Call& call) {
  name_ = name, size_ = x.size, dtype_ = x.dtype;
  ++calls_;
  require(!failed_, current(), ": an earlier collective failed");
  if (x.size == 0) return;
  failed_ = true;
  call();
  failed_ = false;
}

std::string Communicator::current() const {
  return join(name_, " of ", size_, " ", name_of(dtype_), " values (collective ", calls_, ")");
}

void Communicator::all_gather(Backend& backend, ConstArray x, Array out) {
  require(out.dtype == x.dtype && out.size == ranks() * x.size, "all_gather: ", ranks(), " parts of ", x.size, " ",
          name_of(x.dtype), " values do not make ", out.size, " ", name_of(out.dtype), " values");
  run("all_gather", x, [&] { do_all_gather(backend, x, out); });
}

void Communicator::all_reduce(Backend& backend, ConstArray x, Array out) {
  require(out.dtype == x.dtype && out.size == x.size, "all_reduce: ", x.size, " ", name_of(x.dtype),
          " values do not make ", out.size, " ", name_of(out.dtype), " values");
  require(x.dtype != DType::u8, "all_reduce: cannot add u8 values");
  run("all_reduce", x, [&] { do_all_reduce(backend, x, out); });
}

void Communicator::broadcast(Backend& backend, Array x, int root) {
  require(root >= 0 && root < ranks(), "broadcast: there is no rank ", root, " among ", ranks());
  run("broadcast", x, [&] { do_broadcast(backend, x, root); });
}

void Communicator::begin_sum(Backend& backend, Array x) {
  require(x.dtype != DType::u8, "begin_sum: cannot add u8 values");
  run("begin_sum", x, [&] { do_begin_sum(backend, x); });
}

void Communicator::finish_sums(Backend& backend) {
  require(!failed_, "finish_sums: an earlier collective failed");
  failed_ = true;
  do_finish_sums(backend);
  failed_ = false;
}

void Communicator::abandon() {
  failed_ = true;
  do_abandon();
}

std::unique_ptr<Communicator> single_communicator() { return std::make_unique<SingleCommunicator>(); }

}  // namespace vergence
