package kernel

import (
	"strings"
	"testing"

	"github.com/llama-go/llama-go/kernel/rpc"
)

func TestSettingsApply(t *testing.T) {
	for _, tc := range []struct {
		text string
		show string // what the settings then say, "name=value" each
		err  string // or a part of the error with its hint
	}{
		{"temperature=0.7 top_p=0.95", "temperature=0.7 top_p=0.95", ""},
		{"temperature = 0", "temperature=0", ""},
		{"max_gen_len=10\nseed=7", "max_gen_len=10 seed=7", ""},
		{"seed=18446744073709551615", "seed=18446744073709551615", ""},
		{"seed=7 seed=auto", "seed=auto", ""},
		{"precision=fast", "precision=fast", ""},
		{"temperature=3 temperature=default", "temperature=0.6", ""},
		{"max_seq_len=0", "max_seq_len=0", ""},
		{"quantize=int4", "quantize=int4", ""},
		{"quantize=int8 quantize=none", "quantize=none", ""},
		{"quantize=int8 quantize=default", "quantize=none", ""},
		{"temperature=-1", "", "expected a number from 0 to 10 | now temperature=0.6"},
		{"temperature=nan", "", "expected a number from 0 to 10"},
		{"temperature=1e999", "", "expected a number from 0 to 10"},
		{"top_p=0", "", "above 0"},
		{"top_p=1.1", "", "at most 1"},
		{"top_p=", "", "top_p=: expected"},
		{"max_gen_len=0", "", "from 1 to 1048576"},
		{"max_gen_len=1.5", "", "from 1 to 1048576"},
		{"seed=-1", "", "auto, or a whole number"},
		{"precision=best", "", "exact or fast"},
		{"max_seq_len=5", "", "from 16"},
		{"quantize=", "", "none, int8 or int4 | now quantize=none"},
		{"quantize=q4_0", "", "none, int8 or int4"},
		{"quantise=int8", "", "did you mean quantize?"},
		{"temprature=1", "", "did you mean temperature?"},
		{"xyzzy=1", "", "the settings are temperature, top_p"},
		{"top_p", "", "not NAME=VALUE"},
		{"=3", "", "not NAME=VALUE"},
	} {
		first := defaultSettings()
		got, err := first.apply(tc.text)
		if tc.err != "" {
			if err == nil {
				t.Errorf("%q: no error", tc.text)
				continue
			}
			msg, hint := splitError(err)
			for _, part := range strings.Split(tc.err, " | ") {
				if !strings.Contains(msg+" | "+hint, part) {
					t.Errorf("%q: got %q, want %q in it", tc.text, msg+" | "+hint, part)
				}
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
			continue
		}
		for _, nv := range strings.Fields(tc.show) {
			name, value, _ := strings.Cut(nv, "=")
			p, _ := findParam(name)
			if p.get(&got) != value {
				t.Errorf("%q: %s is %s, want %s", tc.text, name, p.get(&got), value)
			}
		}
	}
}

// TestAdviceCountsUntilSet: a model's advice is what unset values are.
func TestAdviceCountsUntilSet(t *testing.T) {
	cool, most := 0.25, 0.5
	s := defaultSettings()
	for _, tc := range []struct {
		text         string
		advice       rpc.Sampling
		temperature  float64
		topP         float64
		shownAs, doc string
	}{
		{"", rpc.Sampling{}, 0.6, 0.9, "0.6", "no advice"},
		{"", rpc.Sampling{Temperature: &cool}, 0.25, 0.9, "0.25", "one of two"},
		{"temperature=1", rpc.Sampling{Temperature: &cool, TopP: &most}, 1, 0.5, "1", "set by hand"},
		{"", rpc.Sampling{}, 1, 0.9, "1", "another model without"},
		{"temperature=default", rpc.Sampling{Temperature: &cool}, 0.25, 0.9, "0.25", "unset again"},
		{"temperature=0 top_p=1", rpc.Sampling{Temperature: &cool, TopP: &most}, 0, 1, "0", "greedy"},
	} {
		var err error
		if s, err = s.apply(tc.text); err != nil {
			t.Fatal(err)
		}
		s.advice = adviceOf(tc.advice)
		p, _ := findParam("temperature")
		if a, b := s.drawing(); a != tc.temperature || b != tc.topP || p.get(&s) != tc.shownAs {
			t.Errorf("%s: %v and %v, shown as %s; want %v and %v", tc.doc, a, b, p.get(&s), tc.temperature, tc.topP)
		}
	}
}

func TestSettingsChangeAllOrNothing(t *testing.T) {
	first := defaultSettings()
	if got, err := first.apply("temperature=1 top_p=9"); err == nil || got != first {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSeeds(t *testing.T) {
	s := defaultSettings()
	if a, b := s.nextSeed(), s.nextSeed(); a != 1 || b != 2 {
		t.Errorf("auto: got %d, %d", a, b)
	}
	s, _ = s.apply("seed=7")
	if a, b := s.nextSeed(), s.nextSeed(); a != 7 || b != 7 {
		t.Errorf("pinned: got %d, %d", a, b)
	}
	s, _ = s.apply("seed=auto")
	if a := s.nextSeed(); a != 1 {
		t.Errorf("auto again: got %d", a)
	}
}
