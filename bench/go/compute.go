package main

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// repeat returns the nanoseconds that each run of work took, in order.
func repeat(repeats int, work func() error) ([]float64, error) {
	var times []float64
	for range repeats {
		began := time.Now()
		if err := work(); err != nil {
			return nil, err
		}
		times = append(times, float64(time.Since(began).Nanoseconds()))
	}
	return times, nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[half-1] + sorted[half]) / 2
	}
	return sorted[half]
}

// spawnJoin starts count goroutines and waits for all of them, as one does in Go: with a WaitGroup.
func spawnJoin(c call) (map[string]float64, error) {
	count := c.number("count")
	times, err := repeat(c.number("repeats")+1, func() error {
		var all sync.WaitGroup
		var ran atomic.Int64
		all.Add(count)
		for range count {
			go func() {
				ran.Add(1)
				all.Done()
			}()
		}
		all.Wait()
		return expect("goroutines that ran", int(ran.Load()), count)
	})
	if err != nil {
		return nil, err
	}
	each := float64(count)
	return map[string]float64{"ns": median(times[1:]) / each, "cold_ns": times[0] / each}, nil
}

// parkUnpark: Go has no park and unpark. A channel with room for one token is the same thing: unpark puts the token in unless it is there, park
// takes it or waits for it. The first goroutine is locked to its thread, or not.
func parkUnpark(c call) (map[string]float64, error) {
	count := c.number("count")
	if c.number("locked") > 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	times, err := repeat(c.number("repeats")+1, func() error {
		first, second := make(chan struct{}, 1), make(chan struct{}, 1)
		rounds := make(chan int)
		go func() {
			n := 0
			for range count {
				<-second
				n++
				first <- struct{}{}
			}
			rounds <- n
		}()
		for range count {
			second <- struct{}{}
			<-first
		}
		return expect("round trips", <-rounds, count)
	})
	if err != nil {
		return nil, err
	}
	return map[string]float64{"ns": median(times[1:]) / float64(count)}, nil
}

func yields(c call) (map[string]float64, error) {
	goroutines, count := c.number("goroutines"), c.number("count")
	times, err := repeat(c.number("repeats")+1, func() error {
		var all sync.WaitGroup
		var yields atomic.Int64
		all.Add(goroutines)
		for range goroutines {
			go func() {
				n := 0
				for range count {
					runtime.Gosched()
					n++
				}
				yields.Add(int64(n))
				all.Done()
			}()
		}
		all.Wait()
		return expect("yields", int(yields.Load()), goroutines*count)
	})
	if err != nil {
		return nil, err
	}
	return map[string]float64{"ns": median(times[1:]) / float64(goroutines*count)}, nil
}

// mutex: goroutines lock the same mutex count times each, for an addition.
func mutex(c call) (map[string]float64, error) {
	goroutines, count := c.number("goroutines"), c.number("count")
	times, err := repeat(c.number("repeats")+1, func() error {
		var lock sync.Mutex
		sum := 0
		var all sync.WaitGroup
		all.Add(goroutines)
		for range goroutines {
			go func() {
				for range count {
					lock.Lock()
					sum++
					lock.Unlock()
				}
				all.Done()
			}()
		}
		all.Wait()
		return expect("additions", sum, goroutines*count)
	})
	if err != nil {
		return nil, err
	}
	return map[string]float64{"ns": median(times[1:]) / float64(goroutines*count)}, nil
}
