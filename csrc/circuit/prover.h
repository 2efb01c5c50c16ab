// The prover of circuit/verifier.h.
#pragma once

#include <functional>

#include "circuit/evaluate.h"
#include "circuit/prover_selection.h"
#include "circuit/relations.h"
#include "lookup/prover.h"
#include "sumcheck/prover.h"

namespace assay {

template <int D>
class SegmentProver {
 public:
  using Claims = ClaimList<D, Ext<D>>;

  SegmentProver(ProverChannel<D>& channel, std::string_view segment, const Circuit& circuit,
                const Witness& witness, std::span<const size_t> first_block, Claims& claims)
      : channel_(channel),
        segment_(segment),
        c_(circuit),
        witness_(witness),
        functionals_(circuit, first_block),
        claims_(claims) {}

  // Returns the segment's share F of the lookup sum. `lap` is told of each step that ends.
  Ext<D> prove(std::span<const uint32_t> table_ids, const Fingerprint<D>& fp,
               const std::function<void(const char*)>& lap);

 private:
  void prove_products();
  GridProver<D> einsum_prover(const Einsum& e, const Ext<D>& out) const;
  SelectionProver<D> selection_prover(const Einsum& e, const Ext<D>& out) const;
  void end_einsum(const Einsum& e, const EndPoint<D>& at, const GridProver<D>& prover);
  void end_selected(const Einsum& e, const EndPoint<D>& at, const SelectionProver<D>& prover);
  GridProver<D> zero_check_prover(const ZeroCheck& z, const Ext<D>& lambda) const;
  Vec<D> operand_values(const ZeroCheck& z, const GridProver<D>& prover, const EndPoint<D>& at) const;
  Ext<D> einsum_output(const Einsum& e) const;
  Fractions<D> leaves(const LookupTree& of, std::span<const uint32_t> table_ids,
                      const Fingerprint<D>& fp) const;
  void send_total(const Total& t);
  void send_output(const Output& o);
  Ext<D> prove_lookups(const LookupTree& of, std::span<const uint32_t> table_ids, const Fingerprint<D>& fp);

  void add(std::pair<Claim<D>, Ext<D>> claim, const Ext<D>& value) {
    claims_.add(std::move(claim.first), value - claim.second);
  }

  ProverChannel<D>& channel_;
  std::string segment_;
  const Circuit& c_;
  const Witness& witness_;
  Functionals<D> functionals_;
  Claims& claims_;
  OutputPoint<D> rho_;
  std::vector<std::vector<F>> outputs_;
};

// Row i of a polynomial of degree one over a domain: values[0..cols).
void linear_poly_row(const Circuit& c, const Witness& w, const Poly& poly, uint32_t row,
                     std::span<int64_t> values);

extern template class SegmentProver<2>;
extern template class SegmentProver<3>;

}  // namespace assay
