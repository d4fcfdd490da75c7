package engine

import (
	"testing"
	"testing/fstest"
)

func TestAvailableMemory(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	const mb = 1 << 20
	meminfo := file("MemTotal:  2048000 kB\nMemFree: 10 kB\nMemAvailable:   1024 kB\n")
	big := file("MemAvailable: 104857600 kB\n")
	for _, tc := range []struct {
		name  string
		fs    fstest.MapFS
		want  int64
		known bool
	}{
		{"nothing to read", fstest.MapFS{}, 0, false},
		{"machine", fstest.MapFS{"proc/meminfo": meminfo}, mb, true},
		{"broken meminfo", fstest.MapFS{"proc/meminfo": file("MemAvailable: lots kB\n")}, 0, false},
		{"v2, no limit", fstest.MapFS{"proc/meminfo": meminfo, "proc/self/cgroup": file("0::/a\n"),
			"sys/fs/cgroup/a/memory.max": file("max\n"), "sys/fs/cgroup/a/memory.current": file("5\n")}, mb, true},
		{"v2, own limit and cache", fstest.MapFS{"proc/meminfo": big, "proc/self/cgroup": file("0::/a/b\n"),
			"sys/fs/cgroup/a/b/memory.max": file("10485760\n"), "sys/fs/cgroup/a/b/memory.current": file("8388608\n"),
			"sys/fs/cgroup/a/b/memory.stat": file("anon 1\nactive_file 1048576\ninactive_file 2097152\n")}, 5 * mb, true},
		{"v2, parent's limit is lower", fstest.MapFS{"proc/meminfo": big, "proc/self/cgroup": file("0::/a/b\n"),
			"sys/fs/cgroup/a/b/memory.max": file("10485760\n"), "sys/fs/cgroup/a/b/memory.current": file("0\n"),
			"sys/fs/cgroup/a/memory.max": file("4194304\n"), "sys/fs/cgroup/a/memory.current": file("1048576\n")}, 3 * mb, true},
		{"v2, container sees its group as the root", fstest.MapFS{"proc/meminfo": big, "proc/self/cgroup": file("0::/docker/xyz\n"),
			"sys/fs/cgroup/memory.max": file("2097152\n"), "sys/fs/cgroup/memory.current": file("1048576\n")}, mb, true},
		{"v2, over its limit", fstest.MapFS{"proc/meminfo": big, "proc/self/cgroup": file("0::/\n"),
			"sys/fs/cgroup/memory.max": file("1048576\n"), "sys/fs/cgroup/memory.current": file("2097152\n")}, 0, true},
		{"v1", fstest.MapFS{"proc/meminfo": big, "proc/self/cgroup": file("9:cpu,cpuacct:/x\n5:memory:/docker/a\n"),
			"sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes": file("3145728\n"),
			"sys/fs/cgroup/memory/docker/a/memory.usage_in_bytes": file("2097152\n"),
			"sys/fs/cgroup/memory/docker/a/memory.stat":           file("total_inactive_file 1048576\n")}, 2 * mb, true},
		{"v1 without a limit", fstest.MapFS{"proc/meminfo": meminfo, "proc/self/cgroup": file("5:memory:/\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
			"sys/fs/cgroup/memory/memory.usage_in_bytes": file("2097152\n")}, mb, true},
	} {
		if got, known := availableIn(tc.fs); got != tc.want || known != tc.known {
			t.Errorf("%s: %d, %v, want %d, %v", tc.name, got, known, tc.want, tc.known)
		}
	}
	if n, known := availableMemory(); !known || n < 16*mb {
		t.Errorf("this machine: %d, %v", n, known)
	}
}
