package main

import "math"

// counts is a scale of numbers of which zero is one: a step for each tenfold.
type counts struct{}

// Normalize implements plot.Normalizer.
func (counts) Normalize(least, most, x float64) float64 {
	at := func(of float64) float64 { return math.Log10(1 + of) }
	return (at(x) - at(least)) / (at(most) - at(least))
}
