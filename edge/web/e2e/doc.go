// Package e2e holds the tests that drive the page in Chromium, against a scripted node (every corner of the
// connection) and against the built binary (the whole talk, kill -9 included). It has no code of its own.
//
// The tests need Chromium (`make test` installs it when it may). Without one they are skipped with a word; with CI=true
// that is a failure. GOSPER_SCREENSHOTS=1 rewrites the pictures of the README.
package e2e
