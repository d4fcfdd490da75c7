package units

import "testing"

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 65_536: "65.5 kB", 98_362_432: "98.4 MB", 13_476_831_232: "13.48 GB", 2e12: "2000.00 GB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	if a, b := Rate(30, 2), Rate(30, 0); a != 15 || b != 0 {
		t.Errorf("got %v and %v, want 15 and 0", a, b)
	}
}
