package dev

import (
	"errors"
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/topology/command/internal/feed"
)

// A segment is the part of a feed during which the app is killed once; the last one
// is what a feed has left when all kills are over. Its chunks are sent one by one,
// each when the app is through with the one before it.
type segment [][]feed.Delivery

const (
	killChunks = 3 // so many commits at least lie within a segment, and so many places to kill at
	tailChunks = 2
)

// ErrTooFew says that there are not enough events to leave work for every kill.
var ErrTooFew = errors.New("dev: too few events to deliver")

// cut cuts the deliveries into a segment for each kill and one more. Where it can, it
// cuts between windows of the shuffle: then no event waits across a cut for one that
// is not lost, however long the app takes to come back.
func cut(deliveries []feed.Delivery, window, kills int) ([]segment, error) {
	if kills == 0 {
		return []segment{{deliveries}}, nil
	}
	sizes := make([]int, 0, kills+1)
	for range kills {
		sizes = append(sizes, killChunks)
	}
	sizes = append(sizes, tailChunks)
	chunks := kills*killChunks + tailChunks
	if len(deliveries) < chunks {
		return nil, fmt.Errorf("%w: --kill %d, and one kill behind a commit, need %d, there are %d", ErrTooFew, kills-1, chunks, len(deliveries))
	}
	places := between(deliveries, window)
	if len(places) < 2*chunks {
		places = between(deliveries, 1)
	}
	var segments []segment
	from, n := 0, 0
	for _, size := range sizes {
		var s segment
		for range size {
			n++
			to := len(deliveries)
			if n < chunks {
				to = nearest(places, len(deliveries)*n/chunks, from)
			}
			s = append(s, deliveries[from:to])
			from = to
		}
		segments = append(segments, s)
	}
	return segments, nil
}

// between returns the places between two windows, ascending. In windows of one every
// place is one.
func between(deliveries []feed.Delivery, window int) []int {
	var places []int
	last := -1
	for i, d := range deliveries {
		if window > 1 && d.Copy {
			continue
		}
		w := i
		if window > 1 {
			w = d.Event / window
		}
		if last >= 0 && w != last {
			places = append(places, i)
		}
		last = w
	}
	return places
}

// nearest returns the place nearest to the wanted one that is behind from.
func nearest(places []int, wanted, from int) int {
	i, found := slices.BinarySearch(places, wanted)
	if !found && (i == len(places) || i > 0 && wanted-places[i-1] < places[i]-wanted) {
		i--
	}
	for places[i] <= from {
		i++
	}
	return places[i]
}
