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

#include "commit/prover_source.h"
#include "hash/sha256.h"

namespace assay {

class WorkFolder {
 public:
  using Pieces = std::span<const std::span<const uint8_t>>;

  // Makes the folder unless it is there. Throws std::system_error if it cannot be used, or if others can.
  WorkFolder(std::filesystem::path path, const Digest& key);

  // Writes a file of these pieces, one after another, and maps it.
  MappedFile put(const std::string& name, const Digest& context, Pieces pieces) const;
  // The file of an earlier run, if its code is right.
  std::optional<MappedFile> get(const std::string& name, const Digest& context) const;
  // What was put, without the code at the end.
  static std::span<const uint8_t> content(const MappedFile& file) {
    return file.bytes().first(file.bytes().size() - sizeof(Digest));
  }

 private:
  Digest code(const std::string& name, const Digest& context, Pieces pieces) const;

  std::filesystem::path path_;
  Digest key_;
};

}  // namespace assay
