package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pattern runs gosper pattern with in as standard input.
func pattern(t *testing.T, in string, args ...string) (out, errOut string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"pattern"}, args...), stdio{strings.NewReader(in), &o, &e})
	return o.String(), e.String(), code
}

// zipped packs text as gzip does.
func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Goal: the fates people know are told in the first line. Method: patterns
// from standard input, from a file and by name.
func TestPatternFates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.lif")
	if err := os.WriteFile(file, []byte("#Life 1.05\r\n#P -1 -1\r\n.**\r\n**\r\n.*\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		in   string
		args []string
		want string
	}{
		{"", []string{file}, "r: stable at 1103 with 116 cells"},
		{"!Name: acorn\n.O\n...O\nOO..OOO", []string{"-"}, "acorn: stable at 5206 with 633 cells"},
		{"", []string{"Gosper glider gun"}, "36 cells, +5 every 30 generations; a gun of period 30"},
		{"", []string{"diehard"}, "dies at 130"},
		{"", []string{"block"}, "still life of 4 cells"},
		{"", []string{"xq4_153"}, "speed c/4 diagonal"},
		{zipped(t, "b2o$2o$bo!"), []string{"-"}, "stable at 1103 with 116 cells"},
		{"", []string{"pulsar"}, "repeats every 3 generations"},
		{"", []string{"copperhead"}, "spaceship of period 10, moves (0,-1) in it, speed c/10 orthogonal"},
		{"", []string{"glider", "--orient", "rotate90", "--json"}, `"dx":-1,"dy":1`},
		{"", []string{"space rake"}, "its engine has period 20 and moves (10,0) in it, speed c/2 orthogonal"},
		{"", []string{"diehard", "--rule", "B36/S23"}, "dies at 119"},
		{"", []string{"glider", "--topology", "torus", "--size", "64x64"}, "repeats every 256 generations"},
		{"x = 3, y = 3, rule = B3/S23:T40,40\nbo$2bo$3o!", []string{"-"}, "repeats every 160 generations"},
		{"", []string{"glider", "--size", "30x20", "--topology", "plane"}, "stable at"},
		{"!", []string{"-"}, "empty"},
		{"", []string{"rabbits", "--generations", "500"}, "undecided after 500 generations"},
		{"", []string{"acorn", "--side", "1024"}, "raise --side"},
	} {
		out, errOut, code := pattern(t, c.in, c.args...)
		if code != exitOK || !strings.Contains(strings.SplitN(out, "\n", 2)[0], c.want) {
			t.Errorf("%v: code %d, %q %q; want %q", c.args, code, strings.SplitN(out, "\n", 2)[0], errOut, c.want)
		}
	}
}

// Goal: conversion, orientation and running write exactly the cells.
func TestPatternWrites(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"glider", "--to", "cells"}, "!Name: Glider\n.O\n..O\nOOO\n"},
		{[]string{"glider", "--to", "life106"}, "#Life 1.06\n1 0\n2 1\n0 2\n1 2\n2 2\n"},
		{[]string{"glider", "--to", "life105"}, "#Life 1.05\n#D Name: Glider\n#N\n#P 0 0\n.*\n..*\n***\n"},
		{[]string{"glider", "--orient", "flipy"}, "#N Glider\nx = 3, y = 3, rule = B3/S23\n3o$2bo$bo!\n"},
		{[]string{"--run", "4", "glider"}, "#N Glider\n#CXRLE Pos=1,1 Gen=4\nx = 3, y = 3, rule = B3/S23\nbo$2bo$3o!\n"},
		{[]string{"--run", "0", "glider", "--to", "rle"}, "#N Glider\nx = 3, y = 3, rule = B3/S23\nbo$2bo$3o!\n"},
		{[]string{"--population", "--run", "3", "pulsar"}, "0 56\n1 72\n2 48\n3 56\n"},
	} {
		out, errOut, code := pattern(t, "", c.args...)
		if code != exitOK || out != c.want {
			t.Errorf("%v: code %d %q\n%s\nwant\n%s", c.args, code, errOut, out, c.want)
		}
	}
}

// Goal: the JSON has the figures under stable names.
func TestPatternJSON(t *testing.T) {
	out, _, _ := pattern(t, "b2o$2o$bo!", "--json", "-")
	var f findings
	if err := json.Unmarshal([]byte(out), &f); err != nil {
		t.Fatal(err)
	}
	if f.Fate != "settles" || f.Since != 1103 || f.Population != 116 || f.Cells != 5 || f.Samples[0] != [2]int64{0, 5} || len(f.Objects) != 7 {
		t.Errorf("%+v", f)
	}
}

// Goal: mistakes end with a code and a message that says what to do.
func TestPatternMistakes(t *testing.T) {
	for _, c := range []struct {
		in   string
		args []string
		code int
		want string
	}{
		{"", nil, exitUsage, "name one file"},
		{"", []string{"a", "b"}, exitUsage, "name one file"},
		{"", []string{"no such thing"}, exitError, "gosper pattern --list"},
		{"3o$q!", []string{"-"}, exitError, "-: line 1, column 5"},
		{"o!", []string{"-", "--rule", "B2/S013V"}, exitUsage, "von Neumann"},
		{"o!", []string{"-", "--orient", "up"}, exitUsage, "rotate90"},
		{"o!", []string{"-", "--to", "gif"}, exitUsage, "life106"},
		{"o!", []string{"-", "--to", "macrocell"}, exitError, "cannot write"},
		{"o!", []string{"-", "--topology", "torus"}, exitUsage, "--size"},
		{"o!", []string{"-", "--topology", "sphere"}, exitUsage, "endless, plane, torus"},
		{"o!", []string{"-", "--size", "big"}, exitUsage, "64x64"},
		{"100o!", []string{"-", "--size", "64x64"}, exitUsage, "larger"},
		{"o!", []string{"-", "--side", "1"}, exitUsage, "--side"},
		{"o!", []string{"-", "--generations", "-5"}, exitUsage, "generations"},
		{"o!", []string{"-", "--kernel", "abacus"}, exitUsage, "abacus"},
		{"o!", []string{"-", "--nonsense"}, exitUsage, "nonsense"},
	} {
		_, errOut, code := pattern(t, c.in, c.args...)
		if code != c.code || !strings.Contains(errOut, c.want) {
			t.Errorf("%v: code %d, %q; want %d, %q", c.args, code, errOut, c.code, c.want)
		}
	}
}

// Goal: help and the catalogue can be read.
func TestPatternHelp(t *testing.T) {
	if out, _, code := pattern(t, "", "--help"); code != exitOK || !strings.Contains(out, "gosper pattern acorn.rle") {
		t.Errorf("help: code %d\n%s", code, out)
	}
	out, _, code := pattern(t, "", "--list")
	if code != exitOK || !strings.Contains(out, "Lightweight spaceship (LWSS)") || strings.Count(out, "\n") < 180 {
		t.Errorf("list: code %d, %d lines", code, strings.Count(out, "\n"))
	}
}
