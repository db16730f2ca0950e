//go:build !linux

package memconn

import (
	"errors"
	"net"
)

// Listener takes connections from this user's processes; there is none but on Linux.
type Listener struct{ net.Listener }

// Listen is errors.ErrUnsupported: abstract sockets and sealed memory are Linux's.
func Listen(string) (*Listener, error) { return nil, errors.ErrUnsupported }

// Accept is errors.ErrUnsupported.
func (*Listener) Accept() (*Conn, error) { return nil, errors.ErrUnsupported }

// Dial is errors.ErrUnsupported.
func Dial(string) (*Conn, error) { return nil, errors.ErrUnsupported }
