package corpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// resumeName is the file, in a folder that is not complete yet, that says how far its shards are.
const resumeName = "resume.json"

// resumeEvery is how often that is put on the disk, with the shards.
const resumeEvery = 10 * time.Second

// resume is how far a preparation was with its shards. What it does not say follows from the sources anew: they are read and hashed again,
// which takes a small part of the time, and neither is the tokenizer trained again nor a document encoded.
type resume struct {
	Documents int64     // that the shards hold, or that weights have left out
	Train     partState // so far
	HeldOut   partState
	Origins   map[int]origin // of the sources that have tokens, by their numbers
}

type partState struct {
	Part
	Open int64 // tokens of the shard under way, which Part.Shards does not list; 0: there is none
}

// readResume reads how far the folder is; nil where there is nothing to go on with.
func readResume(dir string) *resume {
	text, err := os.ReadFile(filepath.Join(dir, resumeName))
	var r resume
	if err != nil || json.Unmarshal(text, &r) != nil {
		return nil
	}
	return &r
}

// keep puts what was written so far on the disk, and says how far that is.
func (p *preparation) keep(dir string, documents int64, parts [4]*Part, writers [4]*shardWriter, origins []origin) error {
	r := resume{Documents: documents, Origins: map[int]origin{}}
	for v, state := range map[verdict]*partState{train: &r.Train, heldOut: &r.HeldOut} {
		if err := writers[v].sync(); err != nil {
			return err
		}
		state.Part = *parts[v]
		state.Shards = writers[v].shards
		if writers[v].file != nil {
			state.Open = writers[v].tokens
		}
	}
	for i, o := range origins {
		if o.Train+o.HeldOut > 0 {
			r.Origins[i] = o
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("bug: how far the corpus is has no JSON: %w", err)
	}
	path := filepath.Join(dir, resumeName)
	f, err := os.Create(path + ".new")
	if err != nil {
		return fullDisk(path, err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fullDisk(path, err)
	}
	return os.Rename(f.Name(), path)
}

// restore takes up what an earlier preparation left in the folder, and gives how many documents that is. Where something is not as it was
// written the shards are begun anew.
func (p *preparation) restore(dir string, parts [4]*Part, writers [4]*shardWriter, origins []origin) int64 {
	r := readResume(dir)
	if r == nil {
		return 0
	}
	for v, state := range map[verdict]partState{train: r.Train, heldOut: r.HeldOut} {
		for _, s := range state.Shards {
			if s.check(dir, writers[v].width) != nil {
				return 0
			}
		}
		if state.Open > 0 {
			info, err := os.Stat(writers[v].path(len(state.Shards)))
			if err != nil || info.Size() < headerBytes+state.Open*int64(writers[v].width) {
				return 0
			}
		}
	}
	for i := range r.Origins {
		if i < 0 || i >= len(origins) {
			return 0
		}
	}
	for v, state := range map[verdict]partState{train: r.Train, heldOut: r.HeldOut} {
		*parts[v] = state.Part
		writers[v].shards, writers[v].resumed = state.Shards, state.Open
	}
	for i, o := range r.Origins {
		origins[i] = o
	}
	return r.Documents
}

// claim takes a folder to prepare in, which others with the same sources and settings may have begun, until release is called: that of
// the key, or where another process is at work on it ok is false.
func claim(part string) (release func(), ok bool, err error) {
	f, err := os.OpenFile(part+".lock", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, false, fmt.Errorf("the corpus cannot be written: %w", err)
	}
	// Where the file system knows no locks nobody is kept out, and nobody is let in: see run.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, false, nil
	}
	return func() {
		os.Remove(f.Name()) // whoever opened it meanwhile finds the corpus complete, or begins
		f.Close()
	}, true, nil
}

// removeBegun removes what was begun beside dir from other sources or settings, and never ended, unless a process is at work on it.
func removeBegun(dir string) error {
	begun, err := filepath.Glob(dir + ".part-" + strings.Repeat("[0-9a-f]", 8))
	if err != nil {
		return nil // a folder's name is no pattern then, and what is left over stays
	}
	for _, part := range begun {
		release, mine, err := claim(part)
		if err != nil {
			return err
		}
		if mine {
			err = os.RemoveAll(part)
			release()
		}
		if err != nil {
			return fmt.Errorf("what was left of another preparation cannot be removed: %w", err)
		}
	}
	return nil
}
