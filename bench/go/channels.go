package main

import "sync"

// skynet is a tree of goroutines, ten below each, down to leaves that send their numbers up; each other one sends the sum of its ten.
func skynet(c call) (map[string]float64, error) {
	leaves := c.number("leaves")
	times, err := repeat(c.number("repeats")+1, func() error {
		root := make(chan int)
		go node(root, 0, leaves)
		return expect("sum of all leaves", <-root, leaves*(leaves-1)/2)
	})
	if err != nil {
		return nil, err
	}
	return map[string]float64{"ms": median(times[1:]) / 1e6, "cold_ms": times[0] / 1e6}, nil
}

func node(up chan int, first, leaves int) {
	if leaves == 1 {
		up <- first
		return
	}
	sums := make(chan int)
	each := leaves / 10
	for child := range 10 {
		go node(sums, first+child*each, each)
	}
	sum := 0
	for range 10 {
		sum += <-sums
	}
	up <- sum
}

// pingpong: two goroutines send a number to and fro through two unbuffered channels.
func pingpong(c call) (map[string]float64, error) {
	count := c.number("count")
	times, err := repeat(c.number("repeats")+1, func() error {
		ping, pong := make(chan int), make(chan int)
		rounds := make(chan int)
		go func() {
			made := 0
			for n := range ping {
				pong <- n + 1
				made++
			}
			rounds <- made
		}()
		for n := range count {
			ping <- n
			if err := expect("the answer", <-pong, n+1); err != nil {
				return err
			}
		}
		close(ping)
		return expect("round trips", <-rounds, count)
	})
	if err != nil {
		return nil, err
	}
	return map[string]float64{"ns": median(times[1:]) / float64(count)}, nil
}

// mpmc: senders send count values, all together, to receivers, through one channel.
func mpmc(c call) (map[string]float64, error) {
	senders, receivers, count := c.number("senders"), c.number("receivers"), c.number("count")
	capacity := c.number("capacity")
	var tallies []tally
	times, err := repeat(c.number("repeats")+1, func() error {
		values := make(chan uint64, capacity)
		var sending, receiving sync.WaitGroup
		sending.Add(senders)
		for first := range senders {
			go func() {
				for n := first; n < count; n += senders {
					values <- uint64(n)
				}
				sending.Done()
			}()
		}
		each := make([]tally, receivers)
		receiving.Add(receivers)
		for i := range receivers {
			go func() {
				var t tally
				for n := range values {
					t.add(n)
				}
				each[i] = t
				receiving.Done()
			}()
		}
		sending.Wait()
		close(values)
		receiving.Wait()
		var all tally
		for _, t := range each {
			all.merge(t)
		}
		tallies = append(tallies, all)
		return nil
	})
	return perValue(times, err, tallies, count)
}

// select2: two goroutines send count values, all together, through a channel each; one receives from both.
func select2(c call) (map[string]float64, error) {
	count, capacity := c.number("count"), c.number("capacity")
	var tallies []tally
	times, err := repeat(c.number("repeats")+1, func() error {
		even, odd := make(chan uint64, capacity), make(chan uint64, capacity)
		send := func(values chan<- uint64, first int) {
			for n := first; n < count; n += 2 {
				values <- uint64(n)
			}
		}
		go send(even, 0)
		go send(odd, 1)
		var t tally
		for range count {
			select {
			case n := <-even:
				t.add(n)
			case n := <-odd:
				t.add(n)
			}
		}
		tallies = append(tallies, t)
		return nil
	})
	return perValue(times, err, tallies, count)
}

// perValue returns nanoseconds per value, if each value came once.
func perValue(times []float64, err error, tallies []tally, count int) (map[string]float64, error) {
	if err != nil {
		return nil, err
	}
	for _, t := range tallies {
		if err := t.expectEachOnce(count); err != nil {
			return nil, err
		}
	}
	return map[string]float64{"ns": median(times[1:]) / float64(count)}, nil
}

// selectDefault: select with a default on a channel in which there is nothing; in the end there is.
func selectDefault(c call) (map[string]float64, error) {
	count := c.number("count")
	values := make(chan int, 1)
	times, err := repeat(c.number("repeats")+1, func() error {
		nothing := 0
		for range count {
			if look(values) == 0 {
				nothing++
			}
		}
		return expect("looks that found nothing", nothing, count)
	})
	if err != nil {
		return nil, err
	}
	values <- 7
	if err := expect("the value that is there", look(values), 7); err != nil {
		return nil, err
	}
	return map[string]float64{"ns": median(times[1:]) / float64(count)}, nil
}

func look(values <-chan int) int {
	select {
	case n := <-values:
		return n
	default:
		return 0
	}
}
