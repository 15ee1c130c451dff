// Package memory holds the engines that keep everything in this process: nothing is written to disk and all is gone
// when the process ends. They are the fast half of tests, and the reference that the durable engines are compared with;
// a node of its own runs on package pebble.
package memory
