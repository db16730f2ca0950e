// Package memconn is a connection between two processes of one machine through memory that they share: a net.Conn that carries bytes in both
// directions, in order, for about two copies of them.
//
// What the bytes mean is nothing to it; package cluster speaks NATS over it, between a node's ranks and the node's server.
//
//	l, err := memconn.Listen("name")     // in one process
//	conn, err := l.Accept()
//	conn, err := memconn.Dial("name")    // in the other
//
// The ends meet through a Unix socket in Linux's abstract namespace, which needs no file and goes with its process. Each asks the kernel who
// has the other end, and wants its own user. Who accepts makes the memory, sealed so that it cannot shrink, and a second socket, and gives
// both to the other. From then on each direction is a ring in that memory and one of the sockets as its bell: who finds nothing to read, or no
// room, sleeps in reading the socket, where Go's poller waits and deadlines hold, and is woken by a byte. Nothing else is a system call.
// A process that ends, however it ends, leaves closed sockets, which wake the other end and are its end of file.
//
// Invariants a change must keep, each with its test: bytes come whole and in order whatever the sizes, through Read and Write as through
// WriteTo and ReadFrom (TestBytes); nobody sleeps for good whom the other end could wake (TestBytes, TestWindow); what was written before a Close or a
// kill is read, and then io.EOF (TestClose, TestKilled); deadlines and Close end every wait (TestDeadlines, TestClose); another user meets
// nothing (TestOtherUser); counts that the other end has broken are an error and no fault of memory (TestBrokenCounts).
//
// Cost: against the loopback or a Unix socket, whose system calls and copies in the kernel are spared, a MiB takes 0.1 to 0.2 ms less of the
// processor (docs/PERFORMANCE.md, "Sharing gradients"). Each connection has 2 MiB of memory.
package memconn
