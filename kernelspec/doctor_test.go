package kernelspec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func find(t *testing.T, r Report, name string) Check {
	t.Helper()
	for _, c := range r {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q in\n%s", name, r)
	return Check{}
}

func TestDoctor(t *testing.T) {
	dir := home(t)
	t.Setenv("LLAMA_GO_PYTHON", filepath.Join(dir, "nopython"))
	opt := DoctorOptions{
		Compute:         []string{"a processor: a unit"},
		Version:         "1.2.3",
		AvailableMemory: func() (int64, bool) { return 3 << 30, true },
		Residents:       func(context.Context) ([]string, error) { return []string{"process 7, 2 models"}, nil },
	}
	r := Doctor(t.Context(), opt)
	for name, want := range map[string]struct {
		status Status
		detail string
	}{
		"llama-go":   {OK, "1.2.3"},
		"cpu":        {OK, "a processor: a unit"},
		"memory":     {OK, "3.22 GB"},
		"kernelspec": {Warn, "no llama-go kernel"},
		"python":     {Warn, "does not run"},
		"sockets":    {OK, "tcp on 127.0.0.1"},
		"models":     {OK, "smollm2 is not pulled yet"},
		"resident":   {OK, "process 7, 2 models"},
	} {
		if c := find(t, r, name); c.Status != want.status || !strings.Contains(c.Detail, want.detail) {
			t.Errorf("%s: got %+v", name, c)
		}
	}
	if r.Failed() {
		t.Errorf("failed:\n%s", r)
	}
	text := r.String()
	if !strings.Contains(text, "warn  kernelspec  Jupyter finds no llama-go kernel\n                  → llama-go install --user\n") {
		t.Errorf("report:\n%s", text)
	}

	bin := program(t, filepath.Join(dir, "bin", "llama-go"))
	if _, err := Install(InstallOptions{Where: Where{User: true}, Binary: bin}); err != nil {
		t.Fatal(err)
	}
	if c := find(t, Doctor(t.Context(), opt), "kernelspec"); c.Status != OK || !strings.Contains(c.Detail, "llama-go in ") {
		t.Errorf("installed: %+v", c)
	}
	if err := os.Remove(bin); err != nil {
		t.Fatal(err)
	}
	r = Doctor(t.Context(), opt)
	if c := find(t, r, "kernelspec"); c.Status != Fail || !strings.Contains(c.Detail, "not there") || !r.Failed() {
		t.Errorf("binary gone: %+v", c)
	}
}

func TestDoctorOnAPoorMachine(t *testing.T) {
	home(t)
	r := Doctor(t.Context(), DoctorOptions{
		AvailableMemory: func() (int64, bool) { return 100 << 20, true },
		Residents:       func(context.Context) ([]string, error) { return nil, errors.New("no runtime folder") },
	})
	if c := find(t, r, "memory"); c.Status != Warn || c.Fix == "" {
		t.Errorf("memory: %+v", c)
	}
	if c := find(t, r, "resident"); c.Status != Warn || c.Detail != "no runtime folder" {
		t.Errorf("resident: %+v", c)
	}
	if c := find(t, Doctor(t.Context(), DoctorOptions{}), "memory"); c.Status != Warn {
		t.Errorf("unknown memory: %+v", c)
	}
}
