package main

import (
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"time"
)

// logPort serves the log; nothing logs there.
const logPort = 9999

// connection is one that was accepted. A proxy may open one before it knows who calls: Heard is how many bytes came by it.
type connection struct {
	Port   int       `json:"port"`
	Caller string    `json:"caller"`
	At     time.Time `json:"at"`
	Heard  int       `json:"heard"`
}

// ledger remembers every connection, and how many HTTP requests came by them, which proxies let share connections.
type ledger struct {
	mu          sync.Mutex
	connections []*connection
	requests    int
	byID        map[string]int
}

func (l *ledger) add(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connections = append(l.connections, c)
}

func (l *ledger) hear(c *connection, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Heard += bytes
}

// request returns how many requests came with this id.
func (l *ledger) request(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	l.byID[id]++
	return l.byID[id]
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"connections": l.connections, "requests": l.requests})
}

// listener logs what it accepts, before a byte is read.
type listener struct {
	net.Listener
	port   int
	ledger *ledger
}

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	heard := &connection{Port: l.port, Caller: address(conn.RemoteAddr()), At: time.Now()}
	l.ledger.add(heard)
	return listened{conn, heard, l.ledger}, nil
}

// listened counts what is read.
type listened struct {
	net.Conn
	as     *connection
	ledger *ledger
}

func (l listened) Read(into []byte) (int, error) {
	n, err := l.Conn.Read(into)
	l.ledger.hear(l.as, n)
	return n, err
}

func address(of net.Addr) string {
	host, _, err := net.SplitHostPort(of.String())
	if err != nil {
		return of.String()
	}
	return host
}
