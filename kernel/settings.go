package kernel

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/llama-go/llama-go/engine"
	"github.com/llama-go/llama-go/internal/suggest"
	"github.com/llama-go/llama-go/kernel/rpc"
)

// settings are what %set changes.
type settings struct {
	temperature float64 // unset: the model's advice, else 0.6
	topP        float64 // unset: the model's advice, else 0.9
	advice      advice
	maxGenLen   int
	seed        uint64
	seedPinned  bool // else seeds count up from seed, one an answer
	precision   string
	quantize    string // "": the file's types
	maxSeqLen   int    // of the conversation; 0: the model's own, at most 4096
}

// unset stands for a number that nobody has set.
const unset = -1

// advice is what an unset temperature or top_p counts as.
type advice struct{ temperature, topP float64 }

// adviceOf is the checkpoint's, and the usual defaults where it has none.
func adviceOf(s rpc.Sampling) advice {
	a := advice{0.6, 0.9}
	if s.Temperature != nil {
		a.temperature = *s.Temperature
	}
	if s.TopP != nil {
		a.topP = *s.TopP
	}
	return a
}

// drawing is the temperature and the top_p that count.
func (s *settings) drawing() (temperature, topP float64) {
	temperature, topP = s.temperature, s.topP
	if temperature == unset {
		temperature = s.advice.temperature
	}
	if topP == unset {
		topP = s.advice.topP
	}
	return temperature, topP
}

func defaultSettings() settings {
	return settings{temperature: unset, topP: unset, advice: adviceOf(rpc.Sampling{}), maxGenLen: 512, seed: 1, precision: "fast"}
}

// param is one name that %set knows.
type param struct {
	name, want, doc string
	values          []string // that completion offers
	get             func(*settings) string
	set             func(*settings, string) bool // false: not what is wanted
}

var params = []param{
	{
		"temperature", "a number from 0 to 10",
		"How freely tokens are drawn: 0 always takes the likeliest (greedy), 1 follows the model's own probabilities. Until it is set, the advice of the model's files counts, where they have any.",
		nil,
		func(s *settings) string { t, _ := s.drawing(); return number(t) },
		func(s *settings, v string) bool { return setAdvised(&s.temperature, v, 0, 10) },
	},
	{
		"top_p", "a number above 0, at most 1",
		"Draw only among the likeliest tokens that together reach this probability. Without effect at temperature 0. Until it is set, the advice of the model's files counts, where they have any.",
		nil,
		func(s *settings) string { _, p := s.drawing(); return number(p) },
		func(s *settings, v string) bool { return v != "0" && setAdvised(&s.topP, v, 1e-9, 1) },
	},
	{
		"max_gen_len", "a whole number from 1 to 1048576",
		"The most tokens that one answer has; the end of the context may come first.",
		nil,
		func(s *settings) string { return strconv.Itoa(s.maxGenLen) },
		func(s *settings, v string) bool { return setInt(&s.maxGenLen, v, 1, 1<<20) },
	},
	{
		"seed", "auto, or a whole number from 0 to 18446744073709551615",
		"auto counts 1, 2, 3 … from answer to answer, so that a notebook run from its top gives the same texts again; a number is used for every answer.",
		[]string{"auto"},
		func(s *settings) string {
			if s.seedPinned {
				return strconv.FormatUint(s.seed, 10)
			}
			return "auto"
		},
		setSeed,
	},
	{
		"precision", "exact or fast",
		"exact computes in float32 throughout; fast trades a bounded error for speed. A change opens the model again.",
		[]string{"exact", "fast"},
		func(s *settings) string { return s.precision },
		func(s *settings, v string) bool {
			if v != "exact" && v != "fast" {
				return false
			}
			s.precision = v
			return true
		},
	},
	{
		"quantize", "none, int8 or int4",
		"int8 and int4 convert the matrices of a model that is stored in 32 or 16 bits when it is opened, which takes less memory and time at a small loss; none computes from the file's own types. A change opens the model again.",
		[]string{"none", "int8", "int4"},
		func(s *settings) string { return orNone(s.quantize) },
		func(s *settings, v string) bool {
			if v == "none" {
				s.quantize = ""
				return true
			}
			if v == "" || engine.Quantize(v).Check() != nil {
				return false
			}
			s.quantize = v
			return true
		},
	},
	{
		"max_seq_len", "0, or a whole number from 16 to 1048576",
		"The context of the conversation in tokens; 0 is the model's own, at most 4096. When it is full, the oldest turns are dropped.",
		nil,
		func(s *settings) string { return strconv.Itoa(s.maxSeqLen) },
		func(s *settings, v string) bool {
			if v == "0" {
				s.maxSeqLen = 0
				return true
			}
			return setInt(&s.maxSeqLen, v, 16, 1<<20)
		},
	},
}

func findParam(name string) (param, bool) {
	for _, p := range params {
		if p.name == name {
			return p, true
		}
	}
	return param{}, false
}

func paramNames() []string {
	var names []string
	for _, p := range params {
		names = append(names, p.name)
	}
	return names
}

// apply reads "name=value name=value". All of it is checked before any of it
// counts. The value "default" stands for the first one.
func (s settings) apply(text string) (settings, error) {
	first, next := defaultSettings(), s
	for _, field := range strings.Fields(joinEquals(text)) {
		name, value, ok := strings.Cut(field, "=")
		if !ok || name == "" {
			return s, userError{"SettingError", fmt.Sprintf("%%set: %q is not NAME=VALUE", field), "for example %set temperature=0.7 top_p=0.9"}
		}
		p, ok := findParam(name)
		if !ok {
			return s, userError{"SettingError", fmt.Sprintf("%%set: no setting is called %q", name),
				didYouMean("", name, paramNames()) + "the settings are " + strings.Join(paramNames(), ", ")}
		}
		if value == "default" {
			if p.set(&next, value) {
				continue
			}
			value = p.get(&first)
		}
		if !p.set(&next, value) {
			return s, userError{"SettingError", fmt.Sprintf("%%set: %s=%s: expected %s", name, value, p.want), "now " + name + "=" + p.get(&s)}
		}
	}
	return next, nil
}

// joinEquals drops the blanks around equal signs.
func joinEquals(s string) string {
	parts := strings.Split(s, "=")
	for i := range parts {
		if i > 0 {
			parts[i] = strings.TrimLeft(parts[i], " \t")
		}
		if i < len(parts)-1 {
			parts[i] = strings.TrimRight(parts[i], " \t")
		}
	}
	return strings.Join(parts, "=")
}

// String lists all settings, as %set would take them.
func (s settings) String() string {
	var b strings.Builder
	for _, p := range params {
		fmt.Fprintf(&b, "%-12s = %-8s %s\n", p.name, p.get(&s), p.want)
	}
	return b.String()
}

// nextSeed is the seed of the next answer; it counts up unless it is pinned.
func (s *settings) nextSeed() uint64 {
	seed := s.seed
	if !s.seedPinned {
		s.seed++
	}
	return seed
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func setFloat(dst *float64, v string, lo, hi float64) bool {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= lo && f <= hi) {
		return false
	}
	*dst = f
	return true
}

// setAdvised is setFloat, where "default" unsets.
func setAdvised(dst *float64, v string, lo, hi float64) bool {
	if v == "default" {
		*dst = unset
		return true
	}
	return setFloat(dst, v, lo, hi)
}

func setInt(dst *int, v string, lo, hi int) bool {
	n, err := strconv.Atoi(v)
	if err != nil || n < lo || n > hi {
		return false
	}
	*dst = n
	return true
}

func setSeed(s *settings, v string) bool {
	if v == "auto" {
		s.seed, s.seedPinned = defaultSettings().seed, false
		return true
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return false
	}
	s.seed, s.seedPinned = n, true
	return true
}

// didYouMean is "did you mean %name? ", or "" when no word is near.
func didYouMean(sign, typed string, words []string) string {
	if w := suggest.Closest(typed, words); w != "" {
		return "did you mean " + sign + w + "? "
	}
	return ""
}
