// confounded_shapes: how the shapes and the textures look.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "datasets/shapes/confounded_shapes.h"
#include "kernels/error.h"
#include "kernels/random.h"

namespace vergence {
namespace {

constexpr float pi = std::numbers::pi_v<float>;

struct Point {
  float x = 0, y = 0;
};
Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y}; }
float dot(Point a, Point b) { return a.x * b.x + a.y * b.y; }
float length(Point a) { return std::sqrt(dot(a, a)); }
/// Coordinates in a system turned by an angle.
struct Turn {
  explicit Turn(float angle) : c(std::cos(angle)), s(std::sin(angle)) {}
  Point operator()(Point p) const { return {c * p.x + s * p.y, c * p.y - s * p.x}; }
  float c, s;
};

// ---- shapes: signed distances to the outline, negative inside, in units of the shape's radius. All shapes cover about
// the same area, so that size does not reveal the class.

using Polygon = std::vector<Point>;

/// Distance to the nearest edge, its sign from the number of edges crossed by a ray to the right.
float distance_to(const Polygon& corners, Point p) {
  float nearest = 1e9f;
  bool inside = false;
  Point from = corners.back();
  for (const Point to : corners) {
    const Point edge = to - from, way = p - from;
    const float along = std::clamp(dot(way, edge) / dot(edge, edge), 0.0f, 1.0f);
    const Point off{way.x - along * edge.x, way.y - along * edge.y};
    nearest = std::min(nearest, dot(off, off));
    if ((from.y > p.y) != (to.y > p.y) && way.x < way.y * edge.x / edge.y) inside = !inside;
    from = to;
  }
  return inside ? -std::sqrt(nearest) : std::sqrt(nearest);
}

/// `points` corners, or a star of `points` tips if the two radii differ.
Polygon star(int points, float outer, float inner) {
  Polygon corners;
  const int count = inner == outer ? points : 2 * points;
  for (int i = 0; i < count; ++i) {
    const float angle = 2 * pi * static_cast<float>(i) / static_cast<float>(count), r = i % 2 ? inner : outer;
    corners.push_back({r * std::sin(angle), -r * std::cos(angle)});
  }
  return corners;
}

Polygon heart() {
  Polygon corners;
  constexpr int count = 28;
  for (int i = 0; i < count; ++i) {
    const float t = 2 * pi * (static_cast<float>(i) + 0.5f) / count, s = std::sin(t);
    const float y = 13 * std::cos(t) - 5 * std::cos(2 * t) - 2 * std::cos(3 * t) - std::cos(4 * t);
    corners.push_back({16 * s * s * s / 16.5f, -(y + 2.5f) / 16.5f});
  }
  return corners;
}

/// No shape reaches further than this from its center.
constexpr float reach = 1.4f;

float distance_to_shape(std::int32_t shape, Point p) {
  static const Polygon square{{-.72f, -.72f}, {.72f, -.72f}, {.72f, .72f}, {-.72f, .72f}};
  static const Polygon triangle = star(3, 1.15f, 1.15f), five_star = star(5, 1.2f, .52f), heart_outline = heart();
  static const Polygon cross{{-.32f, -1.f}, {.32f, -1.f}, {.32f, -.32f}, {1.f, -.32f}, {1.f, .32f},   {.32f, .32f},
                             {.32f, 1.f},   {-.32f, 1.f}, {-.32f, .32f}, {-1.f, .32f}, {-1.f, -.32f}, {-.32f, -.32f}};
  static const Polygon arrow{{0.f, -1.1f},   {.95f, -.05f},  {.38f, -.05f}, {.38f, 1.05f},
                             {-.38f, 1.05f}, {-.38f, -.05f}, {-.95f, -.05f}};
  static const Polygon hourglass{{-.9f, -1.f}, {.9f, -1.f}, {.16f, 0.f}, {.9f, 1.f}, {-.9f, 1.f}, {-.16f, 0.f}};
  switch (shape) {
    case 0:
      return length(p) - .8f;
    case 1:
      return distance_to(square, p);
    case 2:
      return distance_to(triangle, p);
    case 3:
      return distance_to(five_star, p);
    case 4:
      return distance_to(cross, p);
    case 5:
      return std::abs(length(p) - .78f) - .2f;
    case 6:
      return distance_to(heart_outline, p);
    case 7:
      return std::max(length(p) - 1.05f, .78f - length(p - Point{.55f, 0}));
    case 8:
      return distance_to(arrow, p);
    case 9:
      return distance_to(hourglass, p);
    default:
      throw Error(join("confounded_shapes: no shape ", shape));
  }
}

// ---- textures: a value in [0, 1] at a point given in periods. Edges are soft, so that no family needs antialiasing.

float wave(float x) { return 0.5f + 0.5f * std::sin(2 * pi * x); }
/// A wave with flat tops: soft stripes.
float band(float x) { return std::clamp(0.5f + 0.9f * std::sin(2 * pi * x), 0.0f, 1.0f); }
float smooth(float x) { return x * x * (3 - 2 * x); }

/// A pseudo-random value in [0, 1] at each point of the integer grid, fixed for all images.
float lattice(int x, int y) {
  std::uint32_t h = static_cast<std::uint32_t>(x) * 0x8da6b343u ^ static_cast<std::uint32_t>(y) * 0xd8163841u;
  h = (h ^ h >> 15) * 0x2c1b3c6du;
  h = (h ^ h >> 12) * 0x297a2d39u;
  return static_cast<float>((h ^ h >> 15) >> 8) * 0x1p-24f;
}

/// Value noise: smooth interpolation between the lattice's values.
float blobs(Point p) {
  const float fx = std::floor(p.x), fy = std::floor(p.y), u = smooth(p.x - fx), v = smooth(p.y - fy);
  const int x = static_cast<int>(fx), y = static_cast<int>(fy);
  const float top = std::lerp(lattice(x, y), lattice(x + 1, y), u);
  const float bottom = std::lerp(lattice(x, y + 1), lattice(x + 1, y + 1), u);
  return smooth(std::lerp(top, bottom, v));
}

float texture(std::int32_t family, Point p) {
  switch (family) {
    case 0:
      return band(p.x);  // vertical stripes
    case 1:
      return band(p.y);  // horizontal stripes
    case 2:
      return band(0.7f * (p.x + p.y));  // diagonal stripes
    case 3:
      return std::clamp(0.5f + 1.4f * (wave(p.x) - .5f) * (wave(p.y) - .5f) * 4, 0.0f, 1.0f);  // checks
    case 4:
      return std::clamp(2.2f * wave(p.x) * wave(p.y) - .45f, 0.0f, 1.0f);  // dots
    case 5:
      return band(length(p));  // circles
    case 6:
      return std::clamp(0.5f + 0.2f * (p.x + 0.3f * p.y), 0.0f, 1.0f);  // gradient
    case 7:
      return blobs({1.6f * p.x, 1.6f * p.y});  // blobs
    case 8:
      return std::clamp(1.8f * std::max(wave(p.x), wave(p.y)) - .9f, 0.0f, 1.0f);  // grid
    case 9:
      return band(p.y + 0.35f * std::sin(2 * pi * 0.8f * p.x));  // waves
    default:
      throw Error(join("confounded_shapes: no texture ", family));
  }
}

}  // namespace

const std::array<const char*, shape_classes>& shape_names() {
  static const std::array<const char*, shape_classes> names{"circle", "square", "triangle", "star",  "cross",
                                                            "ring",   "heart",  "crescent", "arrow", "hourglass"};
  return names;
}

const std::array<const char*, shape_classes>& texture_names() {
  static const std::array<const char*, shape_classes> names{"vertical stripes",
                                                            "horizontal stripes",
                                                            "diagonal stripes",
                                                            "checks",
                                                            "dots",
                                                            "circles",
                                                            "gradient",
                                                            "blobs",
                                                            "grid",
                                                            "waves"};
  return names;
}

ImageLayers shapes_layers(const ShapeSample& sample, std::int64_t size, ShapeGround ground) {
  const auto area = static_cast<std::size_t>(size * size);
  const bool textured = ground == ShapeGround::texture;
  ImageLayers layers{std::vector<float>(3 * area), std::vector<float>(area),
                     std::vector<float>(textured ? 3 * area : 0)};
  Random noise(sample.noise, Purpose::shapes);
  const float pixel = 1.0f / static_cast<float>(size);
  const Turn shape_turn(sample.angle), texture_turn(sample.texture_angle), light_turn(sample.shade_angle);
  const Point phase{sample.phase_x, sample.phase_y};
  for (std::size_t i = 0; i < area; ++i) {
    const Point p{(static_cast<float>(i % static_cast<std::size_t>(size)) + 0.5f) * pixel,
                  (static_cast<float>(i / static_cast<std::size_t>(size)) + 0.5f) * pixel};
    const Point from_center = p - Point{sample.x, sample.y}, own = shape_turn(from_center);
    const Point at{own.x / sample.radius, own.y / sample.radius};
    if (length(own) < reach * sample.radius + pixel) {
      const float distance = distance_to_shape(sample.shape, at) * sample.radius / pixel;  // in pixels
      // In steps of 1/255, so that the 8-bit mask is exactly what the image was composed with.
      layers.coverage[i] = std::round(255 * std::clamp(0.5f - distance, 0.0f, 1.0f)) / 255;
    }
    const float light = 1 + sample.shade * light_turn(from_center).x / sample.radius;
    const float grains = sample.noise_level * (noise.uniform() + noise.uniform() - 1);
    for (std::size_t c = 0; c < 3; ++c)
      layers.foreground[3 * i + c] = std::clamp(sample.color[c] * light + grains, 0.0f, 1.0f);
    if (!textured) continue;
    const Point grain = texture_turn(p - Point{0.5f, 0.5f});
    const float mix = texture(sample.background, Point{grain.x / sample.period, grain.y / sample.period} - phase);
    for (std::size_t c = 0; c < 3; ++c)
      layers.background[3 * i + c] = std::clamp(std::lerp(sample.dark[c], sample.light[c], mix) + grains, 0.0f, 1.0f);
  }
  return layers;
}

}  // namespace vergence
