package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// lateness is how late one sleeper was, time after time, in microseconds.
type lateness []float64

func (l *lateness) note(due time.Time) {
	*l = append(*l, float64(time.Since(due).Nanoseconds())/1e3)
}

func (l lateness) addTo(metrics map[string]float64) error {
	slices.Sort(l)
	if len(l) < 10 || l[0] < 0 {
		return fmt.Errorf("%d wake-ups, the earliest late by %v us", len(l), l[:min(len(l), 1)])
	}
	metrics["p50_us"] = l[(len(l)*50+99)/100-1]
	metrics["p99_us"] = l[(len(l)*99+99)/100-1]
	metrics["wake_ups"] = float64(len(l))
	return nil
}

// hogRelay: beside hogs that never give way, one goroutine sleeps for 1 ms and then asks another one: how late it has the answer.
func hogRelay(c call) (map[string]float64, error) {
	hogs, window := c.number("hogs"), time.Duration(c.number("window_ms"))*time.Millisecond
	var over atomic.Bool
	var hogging sync.WaitGroup
	var loops atomic.Int64
	hogging.Add(hogs)
	for range hogs {
		go func() {
			n := 0
			for !over.Load() {
				n++
			}
			loops.Add(int64(n))
			hogging.Done()
		}()
	}
	ask, answer := make(chan int), make(chan int)
	go func() {
		for n := range ask {
			answer <- n + 1
		}
	}()
	var late lateness
	began := time.Now()
	for time.Since(began) < window {
		due := time.Now().Add(time.Millisecond)
		time.Sleep(time.Millisecond)
		ask <- len(late)
		if err := expect("the answer", <-answer, len(late)+1); err != nil {
			return nil, err
		}
		late.note(due)
	}
	over.Store(true)
	seconds := time.Since(began).Seconds()
	close(ask)
	hogging.Wait()
	metrics := map[string]float64{"hog_mloops_per_s": float64(loops.Load()) / seconds / 1e6}
	return metrics, late.addTo(metrics)
}

// blockingSyscall: count goroutines block in the kernel at once for sleep_ms, while another one wakes every millisecond.
func blockingSyscall(c call) (map[string]float64, error) {
	count := c.number("count")
	nap := syscall.NsecToTimespec(int64(c.number("sleep_ms")) * 1e6)
	var over atomic.Bool
	ended := make(chan error)
	var late lateness
	most := 0
	go func() {
		for !over.Load() {
			due := time.Now().Add(time.Millisecond)
			time.Sleep(time.Millisecond)
			late.note(due)
			var task syscall.Stat_t
			if err := syscall.Stat("/proc/self/task", &task); err != nil {
				ended <- err
				return
			}
			most = max(most, int(task.Nlink)-2)
		}
		ended <- nil
	}()
	times, err := repeat(c.number("repeats"), func() error {
		var all sync.WaitGroup
		var failed atomic.Int64
		all.Add(count)
		for range count {
			go func() {
				left := nap
				for {
					switch err := syscall.Nanosleep(&left, &left); err {
					case syscall.EINTR:
						continue
					case nil:
					default:
						failed.Add(1)
					}
					all.Done()
					return
				}
			}()
		}
		all.Wait()
		return expect("system calls that failed", int(failed.Load()), 0)
	})
	if err != nil {
		return nil, err
	}
	over.Store(true)
	if err := <-ended; err != nil {
		return nil, err
	}
	wall := median(times) / 1e6
	metrics := map[string]float64{"wall_ms": wall, "threads": float64(most), "threads_x_ms": float64(most) * wall}
	return metrics, late.addTo(metrics)
}
