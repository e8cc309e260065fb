// Package examples tests the programs below it, by running them.
package examples
