package main

import "fmt"

func expect(what string, got, expected int) error {
	if got != expected {
		return fmt.Errorf("%s: %d instead of %d", what, got, expected)
	}
	return nil
}

// tally is what came out of a channel, without keeping it; see wire/src/check.rs.
type tally struct {
	count, sum, scrambled uint64
}

func (t *tally) add(value uint64) {
	scrambled := (value + 1) * 0x9e37_79b9_7f4a_7c15
	t.count++
	t.sum += value
	t.scrambled += scrambled ^ scrambled>>31
}

func (t *tally) merge(other tally) {
	t.count += other.count
	t.sum += other.sum
	t.scrambled += other.scrambled
}

// expectEachOnce says whether the values were 0 to count - 1, each once, in whatever order.
func (t tally) expectEachOnce(count int) error {
	var right tally
	for value := range count {
		right.add(uint64(value))
	}
	if err := expect("values received", int(t.count), count); err != nil {
		return err
	}
	if t != right {
		return fmt.Errorf("values were lost, and others received twice")
	}
	return nil
}
