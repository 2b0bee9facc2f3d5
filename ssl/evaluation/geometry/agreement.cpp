// Assignment, mutual information and the Rand index, all from the table of group and class counts.
#include "ssl/evaluation/geometry/agreement.h"

#include <cmath>
#include <limits>

#include "kernels/error.h"

namespace vergence {
namespace {

/// The number of items in group g and class c: counts [size, size] and their sums.
struct Table {
  std::size_t size;
  double total;
  std::vector<double> counts, groups, classes;

  Table(const std::vector<std::int32_t>& group, const std::vector<std::int32_t>& truth, std::int64_t largest)
      : size(static_cast<std::size_t>(largest)),
        total(static_cast<double>(group.size())),
        counts(size * size),
        groups(size),
        classes(size) {
    for (std::size_t i = 0; i < group.size(); ++i) {
      const auto g = static_cast<std::size_t>(group[i]), c = static_cast<std::size_t>(truth[i]);
      require(group[i] >= 0 && truth[i] >= 0 && g < size && c < size, "agreement: item ", i, " is in group ", group[i],
              " and class ", truth[i], ", expected 0 to ", largest - 1);
      ++counts[g * size + c];
      ++groups[g];
      ++classes[c];
    }
  }
};

double accuracy_of(const Table& table) {
  std::vector<double> cost = table.counts;
  for (double& value : cost) value = -value;
  const std::vector<std::int32_t> names = cheapest_assignment(cost, static_cast<std::int64_t>(table.size));
  double hits = 0;
  for (std::size_t g = 0; g < table.size; ++g)
    hits += table.counts[g * table.size + static_cast<std::size_t>(names[g])];
  return 100 * hits / table.total;
}

double entropy_of(const std::vector<double>& counts, double total) {
  double entropy = 0;
  for (double count : counts)
    if (count > 0) entropy -= count / total * std::log(count / total);
  return entropy;
}

double nmi_of(const Table& table) {
  const double mean = (entropy_of(table.groups, table.total) + entropy_of(table.classes, table.total)) / 2;
  if (mean == 0) return 1;
  double information = 0;
  for (std::size_t g = 0; g < table.size; ++g)
    for (std::size_t c = 0; c < table.size; ++c) {
      const double count = table.counts[g * table.size + c];
      if (count > 0)
        information += count / table.total * std::log(count * table.total / (table.groups[g] * table.classes[c]));
    }
  return information / mean;
}

/// Pairs of items in the same cell.
double pairs_in(const std::vector<double>& counts) {
  double pairs = 0;
  for (double count : counts) pairs += count * (count - 1) / 2;
  return pairs;
}

double ari_of(const Table& table) {
  const double together = pairs_in(table.counts), by_group = pairs_in(table.groups), by_class = pairs_in(table.classes);
  const double all = table.total * (table.total - 1) / 2, expected = all > 0 ? by_group * by_class / all : 0;
  const double most = (by_group + by_class) / 2;
  return most == expected ? 1 : (together - expected) / (most - expected);
}

}  // namespace

std::vector<std::int32_t> cheapest_assignment(const std::vector<double>& cost, std::int64_t size) {
  require(size > 0 && static_cast<std::int64_t>(cost.size()) == size * size, "assignment: ", cost.size(),
          " costs, expected a square of ", size);
  for (double value : cost) require(std::isfinite(value), "assignment: a cost is ", value);
  // Prices keep cost - row_price - column_price >= 0, with equality for assigned pairs. Each row in turn gets a column
  // by the cheapest path of reassignments; the path starts at column `none`.
  const auto n = static_cast<std::size_t>(size), none = n;
  std::vector<double> row_price(n), column_price(n + 1);
  std::vector<std::size_t> row_of(n + 1, none);  // the row assigned to each column
  for (std::size_t start = 0; start < n; ++start) {
    std::vector<double> distance(n, std::numeric_limits<double>::infinity());
    std::vector<std::size_t> from(n, none);  // the previous column on the path
    std::vector<bool> done(n + 1);
    std::size_t column = none;
    row_of[none] = start;
    do {
      done[column] = true;
      const std::size_t row = row_of[column];
      std::size_t next = none;
      for (std::size_t j = 0; j < n; ++j) {
        if (done[j]) continue;
        const double reduced = cost[row * n + j] - row_price[row] - column_price[j];
        if (reduced < distance[j]) distance[j] = reduced, from[j] = column;
        if (next == none || distance[j] < distance[next]) next = j;
      }
      const double step = distance[next];
      for (std::size_t j = 0; j <= n; ++j) {
        if (done[j])
          row_price[row_of[j]] += step, column_price[j] -= step;
        else if (j < n)
          distance[j] -= step;
      }
      column = next;
    } while (row_of[column] != none);
    for (std::size_t before; column != none; column = before) {
      before = from[column];
      row_of[column] = row_of[before];
    }
  }
  std::vector<std::int32_t> result(n);
  for (std::size_t j = 0; j < n; ++j) result[row_of[j]] = static_cast<std::int32_t>(j);
  return result;
}

Agreement agreement_of(const std::vector<std::int32_t>& groups, const std::vector<std::int32_t>& classes,
                       std::int64_t largest) {
  require(!groups.empty() && groups.size() == classes.size(), "agreement: ", groups.size(), " groups and ",
          classes.size(), " classes, expected one of each per item");
  const Table table(groups, classes, largest);
  return {accuracy_of(table), nmi_of(table), ari_of(table)};
}

}  // namespace vergence
