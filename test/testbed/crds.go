//go:build crds

// Package testbed keeps istio.io/api in go.mod: its module carries the CRDs that the tests install.
package testbed

import _ "istio.io/api/networking/v1"
