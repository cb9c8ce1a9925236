package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
)

// echoServer serves until stdin ends; what it says and is asked is described in wire/src/control.rs.
func echoServer() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("{\"listening\":%q}\n", listener.Addr())
	go func() {
		asked := bufio.NewScanner(os.Stdin)
		for asked.Scan() {
			// Go does not count its system calls.
			fmt.Println(`{"syscalls":null}`)
		}
		os.Exit(0)
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go echo(conn)
	}
}

// echo answers with what it reads. A client that is gone ends it; the load generator counts what it misses.
func echo(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}
