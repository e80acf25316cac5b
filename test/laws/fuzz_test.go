package laws

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// The laws again, on objects that the fuzzer steers: it keeps what reaches code that nothing before did.

func FuzzSealing(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(lawOfSealing(egresstest.Mesh(), func() {})))
}

func FuzzSealingByMutualTLS(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(lawOfSealing(egresstest.MutualTLS(), func() {})))
}

func FuzzInjection(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(lawOfInjection(egresstest.Mesh(), egresstest.NewCluster(), func(bool) {})))
}

func FuzzInjectionByMutualTLS(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(lawOfInjection(egresstest.MutualTLS(), egresstest.NewMutualCluster(), func(bool) {})))
}

func FuzzSequencesOfWrites(f *testing.F) {
	var kept, finalized int
	f.Fuzz(rapid.MakeFuzz(noStoredEntryWasNeverJudged(&kept, &finalized)))
}
