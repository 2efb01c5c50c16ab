#include "transcript/duplex_sponge.h"

#include <algorithm>
#include <string_view>

namespace assay {

DuplexSponge::DuplexSponge(const SessionId& session_id) {
  std::array<uint8_t, Shake128::rate> block{};
  std::copy(session_id.begin(), session_id.end(), block.begin());
  absorbed_.absorb(block);
}

void DuplexSponge::absorb(std::span<const uint8_t> data) {
  if (data.empty()) return;
  absorbed_.absorb(data);
  reader_.reset();
}

void DuplexSponge::squeeze(std::span<uint8_t> out) {
  if (!reader_) reader_ = absorbed_;
  reader_->squeeze(out);
}

SessionId derive_session_id(std::span<const uint8_t> tag) {
  constexpr std::string_view kSeparator = "irtf-cfrg-fiat-shamir/session-id";
  static_assert(kSeparator.size() == sizeof(SessionId));
  SessionId separator;
  std::copy(kSeparator.begin(), kSeparator.end(), separator.begin());
  DuplexSponge sponge(separator);
  sponge.absorb(tag);
  SessionId session_id;
  sponge.squeeze(session_id);
  return session_id;
}

}  // namespace assay
