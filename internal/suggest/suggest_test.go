package suggest

import "testing"

func TestClosest(t *testing.T) {
	words := []string{"model", "models", "set", "system", "reset", "info", "serve"}
	for _, tc := range []struct{ typed, want string }{
		{"modle", "model"}, {"modelss", "models"}, {"sytem", "system"}, {"st", "set"},
		{"rest", "reset"}, {"inof", "info"}, {"xyzzy", ""}, {"", ""}, {"serv", "serve"},
	} {
		if got := Closest(tc.typed, words); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.typed, got, tc.want)
		}
	}
}
