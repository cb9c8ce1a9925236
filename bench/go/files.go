package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const page = 4096

// files makes count files of so many bytes, of which file n holds nothing but n, in the page cache.
func files(count, bytes int) (string, error) {
	dir, err := os.MkdirTemp("", "gort-bench-files-")
	if err != nil {
		return "", err
	}
	for n := range count {
		text := make([]byte, bytes)
		for i := range text {
			text[i] = byte(n)
		}
		file, err := os.Create(filepath.Join(dir, fmt.Sprint(n)))
		if err != nil {
			return dir, err
		}
		defer file.Close()
		if _, err := file.Write(text); err != nil {
			return dir, err
		}
		if err := file.Sync(); err != nil {
			return dir, err
		}
	}
	return dir, nil
}

// atOnce runs work on count goroutines, again and again: the times of each of so many reads, and the most threads.
func atOnce(c call, count, reads int, work func(round, n int) error) (map[string]float64, error) {
	var wall, cpu []float64
	most := 0
	for round := range c.number("repeats") {
		var all sync.WaitGroup
		var failure atomic.Value
		all.Add(count)
		began, before := time.Now(), cpuTime()
		for n := range count {
			go func() {
				defer all.Done()
				if err := work(round, n); err != nil {
					failure.Store(err)
				}
			}()
		}
		all.Wait()
		wall = append(wall, float64(time.Since(began).Nanoseconds())/1e3/float64(reads))
		cpu = append(cpu, float64((cpuTime()-before).Nanoseconds())/1e3/float64(reads))
		if err := failure.Load(); err != nil {
			return nil, err.(error)
		}
		var task syscall.Stat_t
		if err := syscall.Stat("/proc/self/task", &task); err != nil {
			return nil, err
		}
		most = max(most, int(task.Nlink)-2)
	}
	return map[string]float64{"us": median(wall), "cpu_us": median(cpu), "threads": float64(most)}, nil
}

// fileRead: goroutines at once open, read and close cached files, reads each.
func fileRead(c call) (map[string]float64, error) {
	count, reads, many, bytes := c.number("goroutines"), c.number("reads"), c.number("files"), c.number("bytes")
	dir, err := files(many, bytes)
	defer os.RemoveAll(dir)
	if err != nil {
		return nil, err
	}
	return atOnce(c, count, count*reads, func(_, n int) error {
		buf := make([]byte, bytes)
		for round := range reads {
			which := (n + round) % many
			file, err := os.Open(filepath.Join(dir, fmt.Sprint(which)))
			if err != nil {
				return err
			}
			_, err = file.ReadAt(buf, 0)
			file.Close()
			if err != nil {
				return err
			}
			if err := expect("the last byte", int(buf[bytes-1]), which&0xff); err != nil {
				return err
			}
		}
		return nil
	})
}

// fileReadCold: random reads of a page past the page cache, inFlight at a time.
func fileReadCold(c call) (map[string]float64, error) {
	inFlight, count, bytes := c.number("in_flight"), c.number("count"), c.number("bytes")
	dir, err := files(1, bytes)
	defer os.RemoveAll(dir)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "0"), os.O_RDONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	next := make([]atomic.Uint64, c.number("repeats"))
	return atOnce(c, inFlight, count, func(round, _ int) error {
		room := make([]byte, 2*page)
		at := page - int(uintptr(unsafe.Pointer(&room[0]))%page)
		buf := room[at : at+page]
		for {
			n := next[round].Add(1) - 1
			if n >= uint64(count) {
				return nil
			}
			offset := n * 2654435761 >> 3 % uint64(bytes/page) * page
			if _, err := file.ReadAt(buf, int64(offset)); err != nil {
				return err
			}
			if err := expect("the first byte", int(buf[0]), 0); err != nil {
				return err
			}
		}
	})
}
