package main

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"
)

// timers: count goroutines sleep once, each for a random time of at most longest_ms. Twice: the second time Go has their records and stacks.
func timers(c call) (map[string]float64, error) {
	count, longest := c.number("count"), uint64(c.number("longest_ms"))*1000
	metrics := map[string]float64{}
	for _, round := range []string{"cold", "warm"} {
		// Microseconds + 1; 0 is one who still sleeps. Each goroutine writes its own.
		late := make([]uint32, count)
		began, cpu := time.Now(), cpuTime()
		var all sync.WaitGroup
		all.Add(count)
		for n := range count {
			go func() {
				sleep := time.Duration(sleepingTime(n)%(longest+1)) * time.Microsecond
				due := time.Now().Add(sleep)
				time.Sleep(sleep)
				if after := time.Since(due); after >= 0 {
					late[n] = uint32(after.Microseconds()) + 1
				}
				all.Done()
			}()
		}
		all.Wait()
		metrics[round+"_wall_ms"] = time.Since(began).Seconds() * 1e3
		metrics[round+"_cpu_s"] = (cpuTime() - cpu).Seconds()
		slices.Sort(late)
		if late[0] == 0 {
			return nil, fmt.Errorf("some of %d sleepers woke before their time or never", count)
		}
		metrics[round+"_p99_us"] = float64(late[(count*99+99)/100-1] - 1)
	}
	return metrics, nil
}

// sleepingTime draws the same numbers as wire/src/lateness.rs.
func sleepingTime(number int) uint64 {
	x := (uint64(number) + 1) * 0x9e37_79b9_7f4a_7c15
	x = (x ^ x>>30) * 0xbf58_476d_1ce4_e5b9
	x = (x ^ x>>27) * 0x94d0_49bb_1331_11eb
	return x ^ x>>31
}

// cpuTime returns the CPU time of this process.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// armCancel: beside pending timers that do not come up, count are armed and cancelled, batch at a time; then one is set anew and stopped.
func armCancel(c call) (map[string]float64, error) {
	pending, batch, count, repeats := c.number("pending"), c.number("batch"), c.number("count"), c.number("repeats")
	// Among those that wait, not before or behind them all.
	after := func(n int) time.Duration { return time.Hour + time.Duration(n*7919%100_000_000)*time.Microsecond }
	var waiting []*time.Timer
	for n := range pending {
		waiting = append(waiting, time.AfterFunc(after(n), func() {}))
	}
	armed := make([]*time.Timer, 0, batch)
	times, err := repeat(repeats+1, func() error {
		stopped := 0
		for first := 0; first < count; first += batch {
			armed = armed[:0]
			for n := first; n < min(count, first+batch); n++ {
				armed = append(armed, time.AfterFunc(after(n), func() {}))
			}
			for _, timer := range armed {
				if timer.Stop() {
					stopped++
				}
			}
		}
		return expect("timers cancelled", stopped, count)
	})
	if err != nil {
		return nil, err
	}
	timer := time.AfterFunc(after(0), func() {})
	again, err := repeat(repeats+1, func() error {
		stopped := 0
		for n := range count {
			timer.Reset(after(n))
			if timer.Stop() {
				stopped++
			}
		}
		return expect("timers stopped", stopped, count)
	})
	if err != nil {
		return nil, err
	}
	stopped := 0
	for _, timer := range waiting {
		if timer.Stop() {
			stopped++
		}
	}
	each := float64(count)
	metrics := map[string]float64{"ns": median(times[1:]) / each, "reset_ns": median(again[1:]) / each}
	return metrics, expect("timers that were pending in the end", stopped, pending)
}
