package main

import (
	"testing"

	"github.com/llama-go/llama-go/kernel/rpc"
)

func TestGenerateFollowsTheModelsAdvice(t *testing.T) {
	cool, most := 0.25, 0.5
	for _, tc := range []struct {
		name   string
		given  map[string]bool
		advice rpc.Sampling
		want   [2]float64
	}{
		{"no advice", nil, rpc.Sampling{}, [2]float64{0.6, 0.9}},
		{"advice", nil, rpc.Sampling{Temperature: &cool, TopP: &most}, [2]float64{0.25, 0.5}},
		{"one of two", nil, rpc.Sampling{TopP: &most}, [2]float64{0.6, 0.5}},
		{"flags count more", map[string]bool{"temperature": true}, rpc.Sampling{Temperature: &cool, TopP: &most}, [2]float64{0.6, 0.5}},
	} {
		f := generateFlags{temperature: 0.6, topP: 0.9, given: tc.given}
		if f.follow(tc.advice); f.temperature != tc.want[0] || f.topP != tc.want[1] {
			t.Errorf("%s: temperature %v, top_p %v, want %v", tc.name, f.temperature, f.topP, tc.want)
		}
	}
}

func TestModelsTypesInPS(t *testing.T) {
	for want, m := range map[string]rpc.PSModel{
		"bfloat16": {DType: "bfloat16"}, "bfloat16 as int8": {DType: "bfloat16", Quantize: "int8"},
	} {
		if got := typeText(m); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
