//go:build tools

// Package tools names vegeta, so that go.mod and go.sum say which one is built.
package tools

import _ "github.com/tsenart/vegeta/v12"
