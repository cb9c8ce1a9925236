// The workloads on Go, with nothing but its standard library.
//
// Started by gort-bench as
//
//	gort-bench-go worker go <task> [key=value ..]
//
// and answers with one JSON object on stdout. A result that is found wrong, or anything else that fails, is a message on stderr and a status
// other than 0.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

type outcome struct {
	Metrics map[string]float64 `json:"metrics"`
	Notes   map[string]string  `json:"notes"`
}

// call is what this process is asked to do.
type call struct {
	task   string
	params map[string]string
}

func main() {
	c, err := parse(os.Args[1:])
	if err == nil {
		err = run(c)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "go: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string) (call, error) {
	if len(args) < 3 || args[0] != "worker" {
		return call{}, fmt.Errorf("this program is started by gort-bench, as: worker <peer> <task> [key=value ..]")
	}
	c := call{task: args[2], params: map[string]string{}}
	for _, arg := range args[3:] {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			return call{}, fmt.Errorf("%q is not key=value", arg)
		}
		c.params[key] = value
	}
	return c, nil
}

// number returns a parameter; one that is missing or wrong ends the process.
func (c call) number(key string) int {
	n, err := strconv.Atoi(c.params[key])
	if err != nil {
		fmt.Fprintf(os.Stderr, "go: %s: %s=%q is not a number\n", c.task, key, c.params[key])
		os.Exit(1)
	}
	return n
}

func run(c call) error {
	// The harness sets GOMAXPROCS; a figure for another number would be worse than none.
	if asked, procs := c.number("procs"), runtime.GOMAXPROCS(0); asked != procs {
		return fmt.Errorf("%d processors were asked for, Go runs on %d", asked, procs)
	}
	var metrics map[string]float64
	var err error
	switch c.task {
	case "spawn_join":
		metrics, err = spawnJoin(c)
	case "park_unpark":
		metrics, err = parkUnpark(c)
	case "yield":
		metrics, err = yields(c)
	case "parked":
		metrics, err = parked(c)
	case "skynet":
		metrics, err = skynet(c)
	case "pingpong":
		metrics, err = pingpong(c)
	case "mpmc":
		metrics, err = mpmc(c)
	case "select2":
		metrics, err = select2(c)
	case "select_default":
		metrics, err = selectDefault(c)
	case "mutex":
		metrics, err = mutex(c)
	case "timers":
		metrics, err = timers(c)
	case "arm_cancel":
		metrics, err = armCancel(c)
	case "hog_relay":
		metrics, err = hogRelay(c)
	case "blocking_syscall":
		metrics, err = blockingSyscall(c)
	case "file_read":
		metrics, err = fileRead(c)
	case "file_read_cold":
		metrics, err = fileReadCold(c)
	case "echo_server":
		return echoServer()
	default:
		err = fmt.Errorf("no such task: %s", c.task)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(outcome{metrics, map[string]string{}})
}
