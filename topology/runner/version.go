package runner

import "runtime/debug"

// Version returns the version of streamrun that the toolchain recorded, or "unknown".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == "github.com/streamrun/streamrun" && m.Version != "" {
			return m.Version
		}
	}
	return "unknown"
}
