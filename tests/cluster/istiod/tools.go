//go:build tools

// Names istiod, which tells sidecars what a VirtualService says, so that go.mod keeps it.
package main

import _ "istio.io/istio/pilot/cmd/pilot-discovery"
