#include "system/prover_work.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace assay {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw std::system_error(errno, std::generic_category(), path.string());
}

// Links are not followed: a file that somebody else put there is not written to.
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags)
      : path_(path), fd_(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600)) {
    if (fd_ < 0) fail(path);
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  struct stat status() const {
    struct stat found {};
    if (::fstat(fd_, &found) != 0) fail(path_);
    return found;
  }
  void write(std::span<const uint8_t> bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail(path_);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
  }

 private:
  std::filesystem::path path_;
  int fd_;
};

}  // namespace

WorkFolder::WorkFolder(std::filesystem::path path, const Digest& key) : path_(std::move(path)), key_(key) {
  if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) fail(path_);
  const struct stat found = Descriptor(path_, O_RDONLY | O_DIRECTORY).status();
  if (found.st_uid == ::geteuid() && (found.st_mode & 077) == 0) return;
  errno = EPERM;
  fail(path_);
}

Digest WorkFolder::code(const std::string& name, const Digest& context, Pieces pieces) const {
  Sha256 inner, outer;
  inner.update({reinterpret_cast<const uint8_t*>(name.c_str()), name.size() + 1});
  inner.update(context);
  for (const auto& piece : pieces) inner.update(piece);
  outer.update(key_);
  outer.update(inner.finish());
  return outer.finish();
}

MappedFile WorkFolder::put(const std::string& name, const Digest& context, Pieces pieces) const {
  const auto scratch = path_ / (name + ".part"), place = path_ / name;
  ::unlink(scratch.c_str());
  const Descriptor file(scratch, O_WRONLY | O_CREAT | O_EXCL);
  for (const auto& piece : pieces) file.write(piece);
  file.write(code(name, context, pieces));
  if (::rename(scratch.c_str(), place.c_str()) != 0) fail(place);
  return MappedFile(place);
}

std::optional<MappedFile> WorkFolder::get(const std::string& name, const Digest& context) const {
  std::error_code missing;
  if (!std::filesystem::is_regular_file(std::filesystem::symlink_status(path_ / name, missing))) return {};
  MappedFile file(path_ / name);
  if (file.bytes().size() < sizeof(Digest)) return {};
  const auto kept = content(file);
  const Digest expected = code(name, context, std::span(&kept, 1));
  if (!std::equal(expected.begin(), expected.end(), file.bytes().subspan(kept.size()).begin())) return {};
  return file;
}

}  // namespace assay
