package engine

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// availableMemory is what this process may still take, in bytes.
func availableMemory() (int64, bool) { return availableIn(os.DirFS("/")) }

// availableIn is the least of MemAvailable in /proc/meminfo and of what the
// limits of the process's control group and its parents, version 1 or 2, leave;
// page cache of files counts as free there, as it does in MemAvailable.
func availableIn(root fs.FS) (int64, bool) {
	available, known := fieldOf(root, "proc/meminfo", "MemAvailable:")
	available *= 1024
	for _, g := range memoryGroups(root) {
		if left, ok := g.left(root); ok && (!known || left < available) {
			available, known = left, true
		}
	}
	return available, known
}

// memoryGroup is a folder of the memory controller and its file names.
type memoryGroup struct {
	dir, limit, usage string
	cache             []string // keys of memory.stat that can be reclaimed
}

// memoryGroups lists the process's groups from its own up to the root. Within
// a container the own path may not be visible; the root of the mount is then
// the container's group.
func memoryGroups(root fs.FS) []memoryGroup {
	data, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var groups []memoryGroup
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3) // hierarchy:controllers:path
		if len(f) != 3 {
			continue
		}
		var base string
		g := memoryGroup{}
		switch {
		case f[0] == "0" && f[1] == "":
			base = "sys/fs/cgroup"
			g = memoryGroup{limit: "memory.max", usage: "memory.current", cache: []string{"active_file", "inactive_file"}}
		case strings.Contains(","+f[1]+",", ",memory,"):
			base = "sys/fs/cgroup/memory"
			g = memoryGroup{limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes",
				cache: []string{"total_active_file", "total_inactive_file"}}
		default:
			continue
		}
		for p := path.Clean("/" + f[2]); ; p = path.Dir(p) {
			g.dir = path.Join(base, p)
			groups = append(groups, g)
			if p == "/" {
				break
			}
		}
	}
	return groups
}

// left is limit − usage + reclaimable cache; false where there is no limit.
func (g memoryGroup) left(root fs.FS) (int64, bool) {
	limit, ok := numberIn(root, path.Join(g.dir, g.limit))
	if !ok {
		return 0, false
	}
	usage, ok := numberIn(root, path.Join(g.dir, g.usage))
	if !ok {
		return 0, false
	}
	left := limit - usage
	for _, key := range g.cache {
		n, _ := fieldOf(root, path.Join(g.dir, "memory.stat"), key)
		left += n
	}
	return max(0, min(left, limit)), true
}

// numberIn reads a file that holds one number; "max" is none.
func numberIn(root fs.FS, name string) (int64, bool) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	return n, err == nil && n >= 0
}

// fieldOf reads the number behind a key at the start of a line.
func fieldOf(root fs.FS, name, key string) (int64, bool) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == key {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n, err == nil && n >= 0
		}
	}
	return 0, false
}
