package main

import (
	"math"
	"strconv"
	"strings"
)

// A unit is how figures of a column are written.
type unit struct {
	name   string
	digits int // after the point of a figure below 10; larger ones have fewer
}

var (
	micros    = unit{"µs", 1}
	millis    = unit{"ms", 2}
	perSecond = unit{"/s", 1}
	pieces    = unit{"", 1}
	ratios    = unit{"", 2}
	size      = unit{"B", 0}
)

func (u unit) format(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	digits := u.digits
	for limit := 10.0; digits > 0 && math.Abs(x) >= limit; limit *= 10 {
		digits--
	}
	if x == math.Trunc(x) {
		digits = 0
	}
	return thousands(strconv.FormatFloat(x, 'f', digits, 64))
}

// full is a figure with its unit.
func (u unit) full(x float64) string {
	if u.name == "" {
		return u.format(x)
	}
	return strings.TrimSpace(u.format(x) + " " + u.name)
}

func thousands(figure string) string {
	whole, fraction, _ := strings.Cut(figure, ".")
	sign, whole := "", whole
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		return sign + whole + "." + fraction
	}
	return sign + whole
}
