#include "commit/prover_source.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <system_error>

namespace assay {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int code) {
  throw std::system_error(code, std::generic_category(), path.string());
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path, Links links) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | (links == Links::kRefuse ? O_NOFOLLOW : 0));
  if (file < 0) fail(path, errno);
  struct stat found{};
  void* at = MAP_FAILED;
  bool done = ::fstat(file, &found) == 0;
  const auto size = static_cast<size_t>(found.st_size);
  if (done && size != 0) {
    at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
    done = at != MAP_FAILED;
  }
  const int code = errno;
  ::close(file);
  if (!done) fail(path, code);
  if (size == 0) return;
  data_ = static_cast<const uint8_t*>(at);
  size_ = size;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
}

void MappedFile::release() const {
  if (data_ != nullptr) ::madvise(const_cast<uint8_t*>(data_), size_, MADV_DONTNEED);
}

void expect_reading(const void* at, size_t bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(at) / page * page;
  ::madvise(reinterpret_cast<void*>(begin), reinterpret_cast<uintptr_t>(at) + bytes - begin, MADV_WILLNEED);
}

struct ByteSource::File {
  std::filesystem::path path;
  size_t bytes;
  std::mutex mutex;
  std::weak_ptr<const MappedFile> mapped;  // by whoever holds it now
};

ByteSource::ByteSource(std::filesystem::path path, size_t bytes)
    : file_(new File{std::move(path), bytes, {}, {}}) {}

Held ByteSource::hold() const {
  if (!file_) return {Held(), memory_};
  const std::scoped_lock lock(file_->mutex);
  auto mapped = file_->mapped.lock();
  if (!mapped) {
    mapped = std::make_shared<const MappedFile>(file_->path, MappedFile::Links::kFollow);
    if (mapped->bytes().size() != file_->bytes) fail(file_->path, EIO);  // it was changed under us
    file_->mapped = mapped;
  }
  return {mapped, mapped->bytes().data()};
}

}  // namespace assay
