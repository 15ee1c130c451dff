package config

import (
	"errors"
	"fmt"
)

// versionName is the file that says which releases of clients and servers count from which day on:
// {"2026-11-01":{"client":"1.4.0","server":"1.4.2"},…}.
const versionName = "version"

// Versions are the releases of a day.
type Versions struct {
	Client string `json:"client"`
	Server string `json:"server"`
}

// calendar is the content of the version file.
type calendar map[string]Versions

func checkCalendar(c *calendar) error {
	for day, v := range *c {
		if !validDay(day) {
			return fmt.Errorf("%q is no day: write it as 2026-11-01", day)
		}
		if v.Client == "" && v.Server == "" {
			return errors.New(day + " needs client or server")
		}
	}
	return nil
}

// Versions returns the releases of today (UTC), those of the latest day that has begun; false when no such day is known.
func (f *Folder) Versions() (Versions, bool) {
	if f == nil {
		return Versions{}, false
	}
	today := f.options.Now().UTC().Format("2006-01-02")
	best := ""
	all := f.versions.Get()
	for day := range all {
		if day <= today && day > best {
			best = day
		}
	}
	return all[best], best != ""
}
