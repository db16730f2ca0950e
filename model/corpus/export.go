package corpus

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ExportNanoGPT writes the corpus as nanoGPT's train.py reads it, into the folder dir: train.bin and val.bin, the ids of either part as
// little-endian uint16 and nothing else. A document there ends with its end-of-text token and here begins with it, which is the same
// stream but for its two ends. (llm.c reads the shards as they are.) What an earlier call wrote is replaced.
func (s *Set) ExportNanoGPT(dir string) error {
	if s.Manifest.TokenBytes != 2 {
		return fmt.Errorf("nanoGPT's files hold ids below 65536, and the vocabulary has %d; prepare with tokenizer.vocab_size of at most 65536", s.Manifest.VocabSize)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, part := range map[string]*Stream{"train.bin": s.Train, "val.bin": s.HeldOut} {
		if err := part.exportTo(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// exportTo writes the ids as they are stored, and nothing else, into a file.
func (s *Stream) exportTo(path string) error {
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<18)
	start := int64(0)
	for i, shard := range s.files {
		if err == nil {
			_, err = io.Copy(out, io.NewSectionReader(shard, headerBytes, (s.ends[i]-start)*int64(s.width)))
		}
		start = s.ends[i]
	}
	if err == nil {
		err = out.Flush()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fullDisk(f.Name(), err)
	}
	return os.Rename(f.Name(), path)
}
