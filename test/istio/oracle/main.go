// The routing oracle: a program that tells what Istio's own configuration generator gives the sidecars of a namespace.
//
// It reads one case a line from stdin and writes one answer a line to stdout, in the same order, until stdin ends; both
// are JSON. The types Case (world.go) and Answer (emitted.go) are the format, and test/istio/oracle.ts is its only client.
// A case that cannot be answered gets {"id": ..., "error": ...}, and the next one is read. Logs go to stderr.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"istio.io/istio/pkg/kube/krt"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/test"
)

func main() {
	// Some of the libraries print; only answers may reach stdout.
	answers := os.Stdout
	os.Stdout = os.Stderr
	if err := quiet(); err != nil {
		fail(err)
	}
	// Every collection of every case would be kept for a debugging page that nobody asks for.
	krt.GlobalDebugHandler = nil

	if err := serve(os.Stdin, answers); err != nil {
		fail(err)
	}
}

func quiet() error {
	options := log.DefaultOptions()
	options.OutputPaths = []string{"stderr"}
	// Taking a generator down leaves a handful of errors in the log, of collections that were not done.
	options.SetDefaultOutputLevel(log.OverrideScopeName, log.FatalLevel)
	return log.Configure(options)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func serve(cases io.Reader, answers io.Writer) error {
	reader := bufio.NewReaderSize(cases, 1<<20)
	encoder := json.NewEncoder(answers)
	encoder.SetEscapeHTML(false)
	for {
		line, err := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if err := encoder.Encode(answer(line)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// answer never panics: whatever goes wrong within a case is its answer.
func answer(line []byte) Answer {
	var c Case
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return Answer{ID: c.ID, Error: fmt.Sprintf("the case is not understood: %v", err)}
	}
	var result *Answer
	var failure error
	// Istio's test helpers end their goroutine where they fail; Wrap gives them one, and runs their clean-up.
	err := test.Wrap(func(t test.Failer) {
		defer func() {
			if p := recover(); p != nil {
				failure = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		result, failure = c.answer(t)
	})
	if err = errors.Join(failure, err); err != nil {
		return Answer{ID: c.ID, Error: err.Error()}
	}
	if result == nil {
		return Answer{ID: c.ID, Error: "the generator gave up without a word"}
	}
	return *result
}
