//go:build tools

// Names kwok, which plays thousands of nodes and pods, so that go.mod keeps it.
package main

import _ "sigs.k8s.io/kwok/cmd/kwok"
