package pebble

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// markName is the file that names a durable commit. See the package documentation.
const markName = "COMMITTED"

// writeMark records that commit n is durable. The old file is replaced whole, so no crash leaves half a mark.
func writeMark(fsys vfs.FS, dir string, n uint64) error {
	text := fmt.Sprintf("%d\n", n)
	text = fmt.Sprintf("%s%08x\n", text, crc32.ChecksumIEEE([]byte(text)))
	name := fsys.PathJoin(dir, markName)
	f, err := fsys.Create(name+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := fsys.Rename(name+".new", name); err != nil {
		return err
	}
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readMark returns the commit that the mark names; 0 when there is no mark.
func readMark(fsys vfs.FS, dir string) (uint64, error) {
	f, err := fsys.Open(fsys.PathJoin(dir, markName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return 0, err
	}
	var n uint64
	if _, err := fmt.Sscanf(string(text), "%d\n", &n); err == nil {
		line := fmt.Sprintf("%d\n", n)
		if string(text) == fmt.Sprintf("%s%08x\n", line, crc32.ChecksumIEEE([]byte(line))) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("the file %s is damaged", markName)
}
