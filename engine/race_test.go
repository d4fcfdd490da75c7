//go:build race

package engine_test

// raceEnabled makes heavy tests smaller: the detector slows arithmetic tenfold.
const raceEnabled = true
