// What a prover reads of a commitment: bytes in memory, or in a file that is mapped only while somebody holds
// it, so that neither memory nor address space grows with the model.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

namespace assay {

// A file mapped read-only.
class MappedFile {
 public:
  enum class Links { kRefuse, kFollow };

  MappedFile() = default;
  // Throws std::system_error.
  explicit MappedFile(const std::filesystem::path& path, Links links = Links::kRefuse);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept { swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    swap(other);
    return *this;
  }
  std::span<const uint8_t> bytes() const { return {data_, size_}; }
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

// Tells the system that these bytes of a mapping will be read, so that it fetches many places at a time and not what
// lies between them.
void expect_reading(const void* at, size_t bytes);

// Keeps bytes where they are.
using Held = std::shared_ptr<const void>;

class ByteSource {
 public:
  ByteSource() = default;                                // nothing
  ByteSource(const void* memory) : memory_(memory) {}    // NOLINT(google-explicit-constructor)
  ByteSource(std::filesystem::path path, size_t bytes);  // a file of so many bytes

  bool empty() const { return memory_ == nullptr && file_ == nullptr; }
  // The bytes, valid as long as the result lives; those who hold a file at the same time share one mapping.
  // Throws std::system_error if the file cannot be mapped or has another size.
  Held hold() const;

 private:
  struct File;
  const void* memory_ = nullptr;
  std::shared_ptr<File> file_;  // shared by copies
};

}  // namespace assay
