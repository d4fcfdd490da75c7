package weights

import (
	"fmt"
	"strconv"
)

// Sampling is how a checkpoint's publisher advises to draw its tokens: by
// generation_config.json, unless that says do_sample: false, or by a GGUF's
// general.sampling.*. nil: no advice.
type Sampling struct {
	Temperature *float64 // 0 to 10
	TopP        *float64 // above 0, at most 1
}

// advise takes a value that is in range; another one is no reason to refuse a
// model, and what is wrong with it is returned.
func (s *Sampling) advise(key string, x float64) (warning string) {
	switch {
	case key == "temperature" && x >= 0 && x <= 10:
		s.Temperature = &x
	case key == "top_p" && x > 0 && x <= 1:
		s.TopP = &x
	default:
		return fmt.Sprintf("the advised %s is %v, which is out of range", key, x)
	}
	return ""
}

// sampling reads the advice of generation_config.json.
func (f *fields) sampling() (s Sampling, warnings []string) {
	if _, v := f.get("do_sample"); v == false {
		return s, nil
	}
	for _, key := range []string{"temperature", "top_p"} {
		_, v := f.get(key)
		if v == nil {
			continue
		}
		n, _ := v.(number)
		x, err := strconv.ParseFloat(string(n), 64)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("the advised %s is %s, expected a number", key, plain(v)))
		} else if w := s.advise(key, x); w != "" {
			warnings = append(warnings, w)
		}
	}
	return s, warnings
}

// sampling reads the advice of a GGUF.
func (g *gguf) sampling() (s Sampling, warnings []string) {
	for _, k := range [][2]string{{"temp", "temperature"}, {"top_p", "top_p"}} {
		key, name := k[0], k[1]
		x, ok, err := g.float("general.sampling." + key)
		if err != nil {
			warnings = append(warnings, err.Error())
		} else if ok {
			// As it is written in decimal: 0.6, not the float32 next to it.
			if short, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', -1, 32), 64); err == nil {
				x = short
			}
			if w := s.advise(name, x); w != "" {
				warnings = append(warnings, w)
			}
		}
	}
	return s, warnings
}
