// Checks by the place where they stand, and absorbed messages by their label. In builds with ASSAY_MUTATION,
// which are for tests alone, one of them can be left out, so that tests/mutation can show that some test
// notices; in all others this is nothing.
#pragma once

#ifdef ASSAY_MUTATION

#include <cstdio>
#include <cstdlib>
#include <set>
#include <source_location>
#include <string>
#include <string_view>

namespace assay {

using CheckSite = std::source_location;

// ASSAY_LEAVE_OUT names what to leave out; all that is reached is added to the file ASSAY_RECORD_REACHED.
class Mutation {
 public:
  static Mutation& get() {
    static Mutation only;
    return only;
  }
  bool active() const { return record_ != nullptr || !left_out_.empty(); }
  bool leaves_out(const std::string& id) {
    if (record_ != nullptr && reached_.insert(id).second) std::fprintf(record_, "%s\n", id.c_str());
    return id == left_out_;
  }

 private:
  Mutation() {
    if (const char* id = std::getenv("ASSAY_LEAVE_OUT")) left_out_ = id;
    if (const char* path = std::getenv("ASSAY_RECORD_REACHED")) record_ = std::fopen(path, "a");
  }
  ~Mutation() {
    if (record_ != nullptr) std::fclose(record_);
  }

  std::string left_out_;
  std::FILE* record_ = nullptr;
  std::set<std::string> reached_;
};

// "check lookup.sum csrc/system/proof_verifier.h:38"
inline bool left_out(std::string_view code, const CheckSite& site) {
  if (!Mutation::get().active()) return false;
  std::string_view file = site.file_name();
  const size_t at = file.rfind("csrc/");
  if (at != file.npos) file.remove_prefix(at);
  return Mutation::get().leaves_out("check " + std::string(code) + " " + std::string(file) + ":" +
                                    std::to_string(site.line()));
}
// "message opening.u"
inline bool left_out(std::string_view label) {
  return Mutation::get().active() && Mutation::get().leaves_out("message " + std::string(label));
}

}  // namespace assay

#else

#include <string_view>

namespace assay {

struct CheckSite {
  static constexpr CheckSite current() { return {}; }
};
inline constexpr bool left_out(std::string_view, CheckSite) { return false; }
inline constexpr bool left_out(std::string_view) { return false; }

}  // namespace assay

#endif
