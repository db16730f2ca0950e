package cluster

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestJoinFails has ranks that cannot come together: each of those that are there ends with an error that says why.
func TestJoinFails(t *testing.T) {
	var wg sync.WaitGroup
	c := quick()
	c.JoinTimeout = 3
	drop := func(rank int) func([]Identity) []Identity {
		return func(ids []Identity) []Identity { return append(ids[:rank:rank], ids[rank+1:]...) }
	}
	change := func(rank int, f func(*Identity)) func([]Identity) []Identity {
		return func(ids []Identity) []Identity { f(&ids[rank]); return ids }
	}
	for _, test := range []struct {
		why    string
		ranks  []int
		change func([]Identity) []Identity
		want   string // in the error of every rank
	}{
		{"a rank is missing", []int{3}, drop(1), "s for rank 1; see what they wrote, whether they were started at all"},
		{"a node's first rank is missing", []int{1, 2}, drop(1), "s for rank 1; see what they wrote"},
		{"rank 0 is missing", []int{3}, drop(0), "s for rank 0 to write "},
		{"a world of another size", []int{3}, change(2, func(id *Identity) { id.Size = 5 }), "has a world size of 5, rank 0 ("},
		{"one rank twice", []int{3}, change(2, func(id *Identity) { id.Rank = 1 }), "rank 1 is there twice: as process "},
		{"another job file", []int{2, 1}, change(2, func(id *Identity) { id.Digest = "beef" }), "has a job file with checksum beef, rank 0 ("},
		{"another program", []int{2}, change(1, func(id *Identity) { id.Version = "v2" }), "start the same program on every node"},
		{"an address that is not here", []int{1, 1}, change(1, func(id *Identity) { id.Host = "192.0.2.1" }), "the NATS server of node 1 does not start at 192.0.2.1: "},
		{"nodes counted wrongly", []int{1, 1}, change(1, func(id *Identity) { id.Node = 0 }), "are both local rank 0 of node 0"},
	} {
		ids := test.change(layout(t, test.ranks...))
		wg.Go(func() { // at once: most of it is waiting
			for _, j := range joinAll(t, ids, c) {
				if j.err == nil {
					t.Errorf("%s: joined; want %q", test.why, test.want)
					_ = j.Close()
				} else if !strings.Contains(j.err.Error(), test.want) {
					t.Errorf("%s: %v; want %q", test.why, j.err, test.want)
				}
			}
		})
	}
	wg.Wait()
}

// TestTwoRankZeros has two processes that are rank 0, at once or one after the other.
func TestTwoRankZeros(t *testing.T) {
	ids := layout(t, 3)
	ids[2] = ids[0]
	c := quick()
	c.JoinTimeout = 3
	twice := 0
	for _, j := range joinAll(t, ids, c) {
		if j.err == nil {
			t.Error("joined")
			_ = j.Close()
		} else if strings.Contains(j.err.Error(), "rank 0 is there twice") {
			twice++
		}
	}
	if twice < 2 { // the third may not have met the one that told the other
		t.Errorf("%d ranks know that rank 0 is there twice", twice)
	}
	all := together(t, layoutAt(ids[0].Dir, t, 2), quick())
	_, err := Join(t.Context(), all[0].Identity(), c, t.Logf)
	if err == nil || !strings.Contains(err.Error(), "are all there already") {
		t.Errorf("a second rank 0 later: %v", err)
	}
	everyone(t, all, 1)
}

// layoutAt is layout with another folder.
func layoutAt(dir string, t testing.TB, ranks ...int) []Identity {
	ids := layout(t, ranks...)
	for i := range ids {
		ids[i].Dir = dir
	}
	return ids
}

// TestJoinIsCanceled: who waits for others can be stopped.
func TestJoinIsCanceled(t *testing.T) {
	for _, rank := range []int{0, 1} {
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("enough")
		time.AfterFunc(50*time.Millisecond, func() { cancel(reason) })
		if _, err := Join(ctx, layout(t, 2)[rank], quick(), t.Logf); !errors.Is(err, reason) && !strings.Contains(err.Error(), "enough") {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}

// TestStaleFile has ranks find what an earlier attempt left: of a server that is gone, of a server that is another job's by now,
// of another job, of no job at all.
func TestStaleFile(t *testing.T) {
	other := layout(t, 1)
	other[0].Job = "other"
	live := together(t, other, quick())[0]
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := gone.Addr().String()
	gone.Close()
	for _, test := range []struct {
		why    string
		change func(*credentials)
	}{
		{"a server that is gone", func(k *credentials) { k.Server = nobody }},
		{"another job's server", func(k *credentials) { k.Server = live.node.clientAddress() }},
		{"another job", func(k *credentials) { k.Job = "yesterday" }},
		{"another job, alive", func(k *credentials) { *k = *live.credentials }},
	} {
		ids := layout(t, 2, 1)
		k, err := newCredentials(ids[0].Job, Member{})
		if err != nil {
			t.Fatal(err)
		}
		test.change(k)
		if err := os.Mkdir(ids[0].Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := writePrivate(credentialsFile(ids[0].Dir, ids[0].Job), k); err != nil {
			t.Fatal(err)
		}
		late := make(chan joined)
		go func() {
			c, err := Join(t.Context(), ids[2], quick(), t.Logf)
			late <- joined{c, err}
		}()
		time.Sleep(100 * time.Millisecond) // so that it finds the old file, mostly
		all := []*Cluster{}
		for _, j := range append(joinAll(t, ids[:2], quick()), <-late) {
			if j.err != nil {
				t.Fatalf("%s: %v", test.why, j.err)
			}
			all = append(all, j.Cluster)
		}
		everyone(t, all, 1)
		closeAll(t, all)
	}
}

// TestSharedFolder has two jobs meet in one folder at the same time, as the tasks of a job array do: neither sees the other.
func TestSharedFolder(t *testing.T) {
	ids := layout(t, 2)
	for _, id := range layoutAt(ids[0].Dir, t, 2) {
		id.Job = "another"
		ids = append(ids, id)
	}
	all := together(t, ids, quick())
	everyone(t, all[:2], 1)
	everyone(t, all[2:], 1)
}

// TestCredentialsFile: the file is its owner's alone, wherever it lies, and is not used where others could read it.
func TestCredentialsFile(t *testing.T) {
	ids := layout(t, 2)
	dir := ids[0].Dir
	if err := os.Mkdir(dir, 0o755); err != nil { // a folder that others may look into is none of our business
		t.Fatal(err)
	}
	all := together(t, ids, quick())
	info, err := os.Stat(credentialsFile(dir, ids[0].Job))
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v; want mode 0600", info.Mode(), err)
	}
	closeAll(t, all)
	if _, err := os.Stat(credentialsFile(dir, ids[0].Job)); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	k, err := newCredentials("test", Member{})
	if err == nil {
		err = k.write(dir)
	}
	if err == nil {
		err = os.Chmod(credentialsFile(dir, ids[0].Job), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range joinAll(t, ids, quick()) {
		if j.err == nil || !strings.Contains(j.err.Error(), "has mode 0640, so that others may read the job's credentials (wanted is 0600); remove it and start the job again") {
			t.Errorf("with a file that others may read: %v", j.err)
		}
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(credentialsFile(dir, ids[0].Job), 0o600), os.Chown(credentialsFile(dir, ids[0].Job), 1, 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := Join(t.Context(), ids[1], quick(), t.Logf); err == nil || !strings.Contains(err.Error(), "belongs to user 1, not to 0 who runs this") {
			t.Errorf("with a file of another user: %v", err)
		}
	}
}

// TestFolderCannotBeMade says so at once.
func TestFolderCannotBeMade(t *testing.T) {
	ids := layout(t, 2)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ids[0].Dir = filepath.Join(file, "rendezvous")
	if _, err := Join(t.Context(), ids[0], quick(), t.Logf); err == nil || !strings.Contains(err.Error(), "making the folder where the ranks meet: mkdir "+file) {
		t.Error(err)
	}
}
