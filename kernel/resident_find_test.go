//go:build unix

package kernel

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/llama-go/llama-go/kernel/rpc"
)

// builtDir holds the binary once a test has needed it.
var builtDir string

// theBinary builds llama-go once.
var theBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "lgbin")
	if err != nil {
		return "", err
	}
	builtDir = dir
	exe := filepath.Join(dir, "llama-go")
	cmd := exec.Command("go", "build", "-o", exe, "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return exe, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if builtDir != "" {
		os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

// realResident gives the test the real binary and a runtime folder of its own,
// whose residents are stopped at the end.
func realResident(t *testing.T) (exe, dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	exe, err := theBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir = shortDir(t)
	t.Setenv("LLAMA_GO_RUNTIME", dir)
	t.Setenv("LLAMA_GO_CONNECTION", "")
	t.Cleanup(func() {
		files, err := residentFiles()
		if err != nil {
			t.Error(err)
		}
		for _, f := range files {
			if rec, err := readRecord(f); err == nil && rec.Resident.alive() {
				if err := stopOne(context.Background(), f, rec.Resident, true); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return exe, dir
}

func TestFindOrStart(t *testing.T) {
	exe, dir := realResident(t)
	ctx := t.Context()
	file, started, err := FindOrStart(ctx, FindOptions{Exe: exe})
	if err != nil || !started || filepath.Dir(file) != dir {
		t.Fatalf("got %q %v %v", file, started, err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", st.Mode(), err)
	}
	pid := mustRecord(t, file).Resident.PID
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		t.Errorf("its process session is %d, its pid %d (%v)", sid, pid, err)
	}
	again, started, err := FindOrStart(ctx, FindOptions{Exe: exe})
	if err != nil || started || again != file {
		t.Errorf("again: %q %v %v", again, started, err)
	}
	list, err := Residents(ctx)
	if err != nil || len(list) != 1 || list[0].PID != pid || list[0].Current {
		t.Errorf("residents %+v %v", list, err)
	}
	log, err := LogFile(list[0].ID)
	if err != nil || !strings.Contains(tail(log, 0), "resident started") {
		t.Errorf("log %q: %q %v", log, tail(log, 0), err)
	}
	if strings.Contains(tail(log, 0), mustRecord(t, file).Key) {
		t.Error("the key is in the log")
	}

	h := connectTo(t, file, "c")
	if err := StopResident(ctx, list[0].ID, false); kindOf(err) != rpc.KindBusy {
		t.Errorf("stop with a client attached: %v", err)
	}
	h.Close()
	if err := StopResident(ctx, list[0].ID, false); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if err := StopResident(ctx, list[0].ID, false); kindOf(err) != rpc.KindRequest {
		t.Errorf("stop of none: %v", err)
	}
}

func TestRacersStartOne(t *testing.T) {
	exe, _ := realResident(t)
	const n = 4
	type outcome struct {
		out string
		err error
	}
	results := make(chan outcome, n)
	for range n {
		go func() { // processes of their own
			out, err := exec.Command(exe, "serve", "--detach").Output()
			results <- outcome{strings.TrimSpace(string(out)), err}
		}()
	}
	files := map[string]bool{}
	for range n {
		r := <-results
		if r.err != nil {
			t.Fatalf("%v", r.err)
		}
		files[r.out] = true
	}
	list, err := Residents(t.Context())
	if err != nil || len(list) != 1 || len(files) != 1 || !files[list[0].ConnectionFile] {
		t.Errorf("%d residents, files %v (%v)", len(list), files, err)
	}
	// A second serve by hand is told so.
	out, err := exec.Command(exe, "serve").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "runs already") {
		t.Errorf("a second serve: %v %s", err, out)
	}
}

func TestKilledResidentIsReplaced(t *testing.T) {
	noLeak(t)
	exe, dir := realResident(t)
	path := tinyModel(t)
	h, err := ConnectHost(t.Context(), ConnectOptions{Exe: exe, ClientName: "c"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	m := openTiny(t, h, path)
	s := openSession(t, m, 1, 4096)
	first := h.(*remoteHost).link.rec.Resident.PID
	c := newCollect()
	cut := make(chan error, 1)
	go func() {
		_, err := s.Generate(t.Context(), rpc.GenerateParams{Rows: [][]int32{{256}}, MaxGenLen: 4000, IgnoreEOS: true}, c.take)
		cut <- err
	}()
	<-c.first
	killed := time.Now()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-cut; kindOf(err) != rpc.KindKernelGone || time.Since(killed) > time.Second {
		t.Errorf("the cut call: %v after %v", err, time.Since(killed))
	}
	if _, err := m.Tokenize(t.Context(), rpc.TokenizeParams{Text: "x"}); kindOf(err) != rpc.KindKernelGone {
		t.Errorf("an old handle: %v", err)
	}
	m2 := openTiny(t, h, path) // starts a new one
	if second := h.(*remoteHost).link.rec.Resident.PID; second == first {
		t.Error("the same pid")
	}
	if _, err := m2.Tokenize(t.Context(), rpc.TokenizeParams{Text: "x"}); err != nil {
		t.Error(err)
	}
	// The dead one's sockets were swept.
	left, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("%s%d-*", socketPrefix, first)))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestSignalsEndItCleanly(t *testing.T) {
	exe, dir := realResident(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		file, _, err := FindOrStart(t.Context(), FindOptions{Exe: exe})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := readRecord(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(rec.Resident.PID, sig); err != nil {
			t.Fatal(err)
		}
		if !ended(t.Context(), rec.Resident, 2500*time.Millisecond) {
			t.Fatalf("%v did not end it", sig)
		}
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range left {
			if ext := filepath.Ext(f); ext != ".log" && ext != ".start" && ext != ".run" {
				t.Errorf("%v left %s behind", sig, f)
			}
		}
	}
}

func TestStaleFileNeverPointsAtAStranger(t *testing.T) {
	exe, _ := realResident(t)
	pl, err := placeOf(exe)
	if err != nil {
		t.Fatal(err)
	}
	me := newRecord(pl.id, "old")
	for name, change := range map[string]func(*residentRecord){
		"another process with this pid": func(r *residentRecord) { r.Started = "1" },
		"another boot":                  func(r *residentRecord) { r.BootID = "x" },
		"another host":                  func(r *residentRecord) { r.Host = "elsewhere" },
		"a dead pid":                    func(r *residentRecord) { r.PID = 1 << 30 },
	} {
		rec := record{Resident: me}
		change(&rec.Resident)
		if rec.Resident.alive() {
			t.Errorf("%s counts as alive", name)
		}
		if err := rec.write(pl.conn); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(pl.conn, []byte("{cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, started, err := FindOrStart(t.Context(), FindOptions{Exe: exe})
	if err != nil || !started {
		t.Fatalf("got %q %v %v", file, started, err)
	}
}

func TestStartWhileTheOldOneEnds(t *testing.T) {
	exe, _ := realResident(t)
	for range 3 {
		file, started, err := FindOrStart(t.Context(), FindOptions{Exe: exe})
		if err != nil || !started {
			t.Fatalf("got %v %v", started, err)
		}
		rec := mustRecord(t, file)
		if err := syscall.Kill(rec.Resident.PID, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		next, _, err := FindOrStart(t.Context(), FindOptions{Exe: exe})
		if err != nil {
			t.Fatal(err)
		}
		// It found the old one before the signal arrived, or waited for its end.
		if pid := mustRecord(t, next).Resident.PID; pid == rec.Resident.PID && !ended(t.Context(), rec.Resident, 5*time.Second) {
			t.Error("SIGTERM did not end it")
		}
		if err := stopOne(t.Context(), file, mustRecordOr(file, rec).Resident, true); err != nil {
			t.Fatal(err)
		}
	}
}

// mustRecordOr is the file's record, or old when there is no file.
func mustRecordOr(file string, old record) record {
	if rec, err := readRecord(file); err == nil {
		return rec
	}
	return old
}

func TestHungResidentIsReported(t *testing.T) {
	exe, _ := realResident(t)
	file, _, err := FindOrStart(t.Context(), FindOptions{Exe: exe})
	if err != nil {
		t.Fatal(err)
	}
	rec := mustRecord(t, file)
	if err := syscall.Kill(rec.Resident.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if _, _, err := FindOrStart(ctx, FindOptions{Exe: exe}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d runs and does not answer", rec.Resident.PID)) {
		t.Errorf("got %v", err)
	}
	if err := StopResident(t.Context(), rec.Resident.ID, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("stop: %v", err)
	}
	if err := StopResident(t.Context(), rec.Resident.ID, true); err != nil { // SIGTERM waits, SIGKILL ends it
		t.Errorf("stop --force: %v", err)
	}
}

func TestLostConnectionFileComesBack(t *testing.T) {
	exe, _ := realResident(t)
	file, _, err := FindOrStart(t.Context(), FindOptions{Exe: exe})
	if err != nil {
		t.Fatal(err)
	}
	pid := mustRecord(t, file).Resident.PID
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	again, started, err := FindOrStart(t.Context(), FindOptions{Exe: exe})
	if err != nil || started || again != file || mustRecord(t, file).Resident.PID != pid {
		t.Errorf("got %q %v %v", again, started, err)
	}
}

func TestFailedStartSaysWhy(t *testing.T) {
	_, dir := realResident(t)
	exe := filepath.Join(dir, "broken")
	if err := os.WriteFile(exe, []byte("#!/bin/sh\necho the disk is on fire >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, _, err := FindOrStart(t.Context(), FindOptions{Exe: exe})
	if err == nil || !strings.Contains(err.Error(), "the disk is on fire") || !strings.Contains(err.Error(), "exit status 3") || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	if _, err := ConnectHost(t.Context(), ConnectOptions{Exe: exe}); kindOf(err) != rpc.KindKernelGone || !strings.Contains(err.Error(), "on fire") {
		t.Errorf("ConnectHost: %v", err)
	}
}

func TestOlderIdleResidentIsStopped(t *testing.T) {
	exe, dir := realResident(t)
	older := filepath.Join(dir, "older")
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(older, append(data, "another hash"...), 0o700); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(older, past, past); err != nil {
		t.Fatal(err)
	}
	oldFile, _, err := FindOrStart(t.Context(), FindOptions{Exe: older})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := readRecord(oldFile)
	if err != nil {
		t.Fatal(err)
	}
	h := connectTo(t, oldFile, "c")
	newFile, _, err := FindOrStart(t.Context(), FindOptions{Exe: exe})
	if err != nil || newFile == oldFile {
		t.Fatalf("got %q %v", newFile, err)
	}
	time.Sleep(200 * time.Millisecond)
	if !rec.Resident.alive() {
		t.Fatal("an older resident with a client was stopped")
	}
	h.Close()
	if err := stopOne(t.Context(), newFile, mustRecord(t, newFile).Resident, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := FindOrStart(t.Context(), FindOptions{Exe: exe}); err != nil {
		t.Fatal(err)
	}
	if !ended(t.Context(), rec.Resident, 5*time.Second) {
		t.Error("the older idle resident still runs")
	}
}

func mustRecord(t *testing.T, file string) record {
	t.Helper()
	rec, err := readRecord(file)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestSocketFolder(t *testing.T) {
	long := filepath.Join(shortDir(t), strings.Repeat("x", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LLAMA_GO_RUNTIME", long)
	dir, err := socketDir()
	if err != nil || len(dir) > maxSocketDir || dir == long {
		t.Errorf("too long a folder gives %q %v", dir, err)
	}
	if dir != "" {
		os.Remove(dir)
	}
	open := filepath.Join(shortDir(t), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := privateDir(open); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("a folder open to all: %v", err)
	}
	link := filepath.Join(shortDir(t), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if err := privateDir(link); err == nil {
		t.Error("a link counts as a folder")
	}
}

func TestLogRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 1<<16-1) + "\n")
	for range 2*maxLog/len(line) + 2 {
		if _, err := l.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".1"} {
		st, err := os.Stat(p)
		if err != nil || st.Size() > maxLog || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", p, st, err)
		}
	}
}
