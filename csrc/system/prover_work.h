// The folder in which a prover keeps what would not fit into memory, and what it needs to go on after a crash.
//
// A file ends with a code over its name, its context and its content under a key of this proof's seed:
//     SHA-256(key || SHA-256(name || 0 || context || content))
// One without the right code is as good as none, and is made again: a file of another proof, one that was
// damaged or exchanged, or what a power cut left of one. The context is all that the content follows from, so
// that nothing of a run is taken up by one that came to another point.
//
// Files are mapped: their pages count as the page cache's and not as the process's. They hold secrets (cells of
// the witness), so the folder has to be its owner's alone.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hash/sha256.h"

namespace assay {

// A file mapped read-only.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);  // throws std::system_error
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept { swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    swap(other);
    return *this;
  }
  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  // Without the code at its end.
  std::span<const uint8_t> content() const { return bytes().first(size_ - sizeof(Digest)); }
  // The pages need not stay in memory; they come back when they are read.
  void release() const;

 private:
  void swap(MappedFile& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

class WorkFolder {
 public:
  using Pieces = std::span<const std::span<const uint8_t>>;

  // Makes the folder unless it is there. Throws std::system_error if it cannot be used, or if others can.
  WorkFolder(std::filesystem::path path, const Digest& key);

  // Writes a file of these pieces, one after another, and maps it.
  MappedFile put(const std::string& name, const Digest& context, Pieces pieces) const;
  // The file of an earlier run, if its code is right.
  std::optional<MappedFile> get(const std::string& name, const Digest& context) const;

 private:
  Digest code(const std::string& name, const Digest& context, Pieces pieces) const;

  std::filesystem::path path_;
  Digest key_;
};

}  // namespace assay
