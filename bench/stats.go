package main

import (
	"math"
	"slices"
)

// quantile is the smallest sample that a part q of all does not exceed; 0.5 of an even number lies between the two in the middle.
func quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	n := len(sorted)
	if q == 0.5 && n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[max(0, int(math.Ceil(q*float64(n)))-1)]
}

func median(samples []float64) float64 { return quantile(samples, 0.5) }
