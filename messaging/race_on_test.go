//go:build race

package messaging

// raceEnabled: the race detector multiplies memory, so its bounds do not hold.
const raceEnabled = true
