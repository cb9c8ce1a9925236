package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// parked starts count goroutines that wait, and wakes them.
func parked(c call) (map[string]float64, error) {
	count := c.number("count")
	before, err := memory()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	gate := make(chan struct{})
	var begun, woken atomic.Int64
	var all sync.WaitGroup
	all.Add(count)
	for range count {
		go func() {
			begun.Add(1)
			<-gate
			woken.Add(1)
			all.Done()
		}()
	}
	for int(begun.Load()) < count {
		time.Sleep(time.Millisecond)
	}
	spawned := time.Since(began)
	held, err := memory()
	if err != nil {
		return nil, err
	}

	began = time.Now()
	close(gate)
	all.Wait()
	awake := time.Since(began)
	if err := expect("goroutines that woke", int(woken.Load()), count); err != nil {
		return nil, err
	}
	each := float64(count)
	return map[string]float64{
		"bytes":    float64(held-before) / each,
		"spawn_ns": float64(spawned.Nanoseconds()) / each,
		"wake_ns":  float64(awake.Nanoseconds()) / each,
		"count":    each,
	}, nil
}

// memory returns the bytes this process holds: resident pages and the page tables that map them.
func memory() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	var kib int64
	for _, name := range []string{"VmRSS:", "VmPTE:"} {
		_, rest, found := strings.Cut(string(status), name)
		if !found {
			return 0, fmt.Errorf("/proc/self/status has no %s", name)
		}
		n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/self/status: %s %w", name, err)
		}
		kib += n
	}
	return kib * 1024, nil
}
