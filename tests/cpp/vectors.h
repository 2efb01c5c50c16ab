// Reads the vector files of tests/vectors (see the README there).
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#ifndef ASSAY_TEST_DATA
#define ASSAY_TEST_DATA "tests/vectors"
#endif

namespace assay::test {

using Bytes = std::vector<uint8_t>;
using Line = std::vector<std::string>;  // the words of one line

inline std::vector<Line> read_vectors(const std::string& name) {
  std::ifstream file(std::string(ASSAY_TEST_DATA) + "/" + name);
  if (!file) throw std::runtime_error("cannot read " ASSAY_TEST_DATA "/" + name);
  std::vector<Line> lines;
  for (std::string text; std::getline(file, text);) {
    if (text.empty() || text[0] == '#') continue;
    std::istringstream words(text);
    Line line;
    for (std::string word; words >> word;) line.push_back(word);
    lines.push_back(line);
  }
  return lines;
}

// The lines that begin with `key`.
inline std::vector<Line> read_vectors(const std::string& name, std::string_view key) {
  std::vector<Line> chosen;
  for (const Line& line : read_vectors(name)) {
    if (line[0] == key) chosen.push_back(line);
  }
  if (chosen.empty()) throw std::runtime_error("no vectors of that name");
  return chosen;
}

inline Bytes unhex(std::string_view text) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

inline std::string hex(std::span<const uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t b : bytes) {
    text += kDigits[b >> 4];
    text += kDigits[b & 15];
  }
  return text;
}

inline std::vector<uint64_t> integers(const std::string& comma_separated) {
  std::vector<uint64_t> values;
  std::istringstream items(comma_separated);
  for (std::string item; std::getline(items, item, ',');) values.push_back(std::stoull(item));
  return values;
}

inline Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

}  // namespace assay::test
