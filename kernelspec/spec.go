package kernelspec

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// DefaultName is the folder name of the kernel, what `jupyter console --kernel`
// takes.
const DefaultName = "llama-go"

// protocolVersion is that of the messages the kernel speaks, full SemVer (JEP 105).
const protocolVersion = "5.3.0"

//go:generate go run assets/gen.go assets

//go:embed assets/logo-svg.svg assets/logo-32x32.png assets/logo-64x64.png
var assets embed.FS

// Spec is the content of kernel.json.
type Spec struct {
	Argv            []string       `json:"argv"`
	DisplayName     string         `json:"display_name"`
	Language        string         `json:"language"`
	InterruptMode   string         `json:"interrupt_mode"`
	ProtocolVersion string         `json:"kernel_protocol_version"`
	Metadata        map[string]any `json:"metadata"`
}

// New is the kernel.json of a binary that is started as argv0; "" display name
// is the default one.
func New(argv0, displayName string) Spec {
	if displayName == "" {
		displayName = "Llama (Go)"
	}
	return Spec{
		Argv:            []string{argv0, "kernel", "-f", "{connection_file}"},
		DisplayName:     displayName,
		Language:        "llama",
		InterruptMode:   "message",
		ProtocolVersion: protocolVersion,
		Metadata:        map[string]any{"debugger": false},
	}
}

// WheelArgv0 is argv[0] of a kernelspec that a wheel brings: the binary in the
// scripts folder of the same environment, found from the kernelspec's own
// folder, so that it works without activating the environment and from another
// one. goos is the system the wheel is for.
func WheelArgv0(goos string) string {
	if goos == "windows" {
		return `{resource_dir}\..\..\..\..\Scripts\llama-go.exe`
	}
	return "{resource_dir}/../../../../bin/llama-go"
}

// Write puts kernel.json and the logos into dir, which it makes.
func Write(dir string, spec Spec) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{"kernel.json": append(data, '\n')}
	logos, err := fs.ReadDir(assets, "assets")
	if err != nil {
		return err
	}
	for _, l := range logos {
		if files[l.Name()], err = assets.ReadFile("assets/" + l.Name()); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Read reads the kernel.json of an installed kernel.
func Read(dir string) (Spec, error) {
	file := filepath.Join(dir, "kernel.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return Spec{}, err
	}
	var s Spec
	if err := json.Unmarshal(data, &s); err != nil {
		return Spec{}, fmt.Errorf("kernelspec: %s is not JSON: %w", file, err)
	}
	return s, nil
}

// binaryName is the file name of the program in a scripts folder.
func binaryName() string {
	if runtime.GOOS == "windows" {
		return "llama-go.exe"
	}
	return "llama-go"
}
