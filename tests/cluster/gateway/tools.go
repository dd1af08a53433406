//go:build tools

// Names Envoy Gateway, so that go.mod keeps it.
package main

import _ "github.com/envoyproxy/gateway/cmd/envoy-gateway"
