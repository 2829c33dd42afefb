// Package dev runs an app against an embedded broker, feeds it events as badly as it
// is told, kills it, and says whether what came out is right.
package dev
